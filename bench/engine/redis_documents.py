"""The documents of the RedisJSON comparisons: a small one and one of 14 kB."""

SMALL, LARGE = "bench:small", "bench:large"
PIPELINE_LENGTH = 10

SMALL_DOCUMENT = {"id": 1, "name": "bulbasaur", "type": "grass", "level": 5}
LARGE_DOCUMENT = {
    "pokemon": [
        {"name": f"pokemon{n}", "url": f"https://example.org/api/v2/pokemon/{n}/", "slot": n % 3, "hidden": None}
        for n in range(150)
    ]
}
