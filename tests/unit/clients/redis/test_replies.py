"""The same calls on this product's client and on redis-py, on a real RedisJSON, give the same values."""

from typing import Any

import pytest
import redis

from tests.redis_harness import client_of

DOCUMENT = {
    "name": "bulbasaur",
    "level": 5,
    "weight": 6.9,
    "caught": True,
    "nickname": None,
    "moves": ["tackle", "growl"],
    "stats": {"hp": 45, "nested": {"deep": [1, [2, [3, []]]]}},
    "ünïcode": "žluťoučký 🐉",
}

JSON_CALLS: dict[str, Any] = {
    "set": lambda j, _: j.set("doc", "$", DOCUMENT),
    "set legacy path": lambda j, _: j.set("doc2", ".", {"a": 1, "b": [1, 2, 3], "s": "x", "t": True}),
    "set nx refused": lambda j, _: j.set("doc", "$", 1, nx=True),
    "set xx refused": lambda j, _: j.set("none", "$", 1, xx=True),
    "set both": lambda j, _: j.set("none", "$", 1, nx=True, xx=True),
    "set bytes key": lambda j, _: j.set(b"bytes", "$", [1]),
    "set keys decoded": lambda j, _: j.set("decoded", "$", {b"a": 1}, decode_keys=True),
    "set integer keys": lambda j, _: j.set("integers", "$", {1: {2: 3}}),
    "set big integer": lambda j, _: j.set("big", "$", 2**70),
    "set refuses what is no JSON": lambda j, _: j.set("doc", "$", {1, 2}),
    "set new path of missing key": lambda j, _: j.set("missing", "$.a", 1),
    "get whole": lambda j, _: j.get("doc"),
    "get unicode key": lambda j, _: j.get("ключ"),
    "get bytes key": lambda j, _: j.get(b"bytes"),
    "get missing": lambda j, _: j.get("missing"),
    "get path": lambda j, _: j.get("doc", "$.name"),
    "get legacy path": lambda j, _: j.get("doc", ".stats.hp"),
    "get two paths": lambda j, _: j.get("doc", "$.name", "$..hp"),
    "get no escape": lambda j, _: j.get("doc", no_escape=True),
    "get path of nothing": lambda j, _: j.get("doc", "$.nothing"),
    "get legacy path of nothing": lambda j, _: j.get("doc", ".nothing"),
    "get null": lambda j, _: j.get("doc", ".nickname"),
    "get deep": lambda j, _: j.get("doc", "$.stats.nested"),
    "get big": lambda j, _: j.get("big"),
    "get integers": lambda j, _: j.get("integers"),
    "mget": lambda j, _: j.mget(["doc", "missing", "doc2"], "$.name"),
    "mget legacy": lambda j, _: j.mget(["doc", "doc2"], "."),
    "mset": lambda j, _: j.mset([("m1", "$", {"a": 1}), ("m2", "$", [1])]),
    "merge": lambda j, _: j.merge("m1", "$", {"b": 2}),
    "merge decoded": lambda j, _: j.merge("m1", "$", {b"c": 3}, decode_keys=True),
    "numincrby": lambda j, _: j.numincrby("doc", "$.level", 3),
    "numincrby legacy": lambda j, _: j.numincrby("doc", ".level", 2),
    "numincrby float": lambda j, _: j.numincrby("doc", "$.weight", 0.5),
    "numincrby of a string": lambda j, _: j.numincrby("doc", "$.name", 1),
    "numincrby legacy of a string": lambda j, _: j.numincrby("doc", ".name", 1),
    "numincrby missing": lambda j, _: j.numincrby("missing", "$.a", 1),
    "nummultby": lambda j, _: j.nummultby("doc", "$.level", 2),
    "nummultby legacy": lambda j, _: j.nummultby("doc", ".level", 2),
    "arrappend": lambda j, _: j.arrappend("doc", "$.moves", "leech seed", {"a": 1}),
    "arrappend legacy": lambda j, _: j.arrappend("doc", ".moves", 1),
    "arrappend of no array": lambda j, _: j.arrappend("doc", "$.name", 1),
    "arrindex": lambda j, _: j.arrindex("doc", "$.moves", "growl"),
    "arrindex range": lambda j, _: j.arrindex("doc", "$.moves", "growl", 0, 1),
    "arrindex absent": lambda j, _: j.arrindex("doc", ".moves", "nothing"),
    "arrinsert": lambda j, _: j.arrinsert("doc", "$.moves", 1, "vine whip"),
    "arrlen": lambda j, _: j.arrlen("doc", "$.moves"),
    "arrlen legacy": lambda j, _: j.arrlen("doc", ".moves"),
    "arrlen missing": lambda j, _: j.arrlen("missing"),
    "arrpop": lambda j, _: j.arrpop("doc", "$.moves", 0),
    "arrpop legacy": lambda j, _: j.arrpop("doc", ".moves"),
    "arrpop object": lambda j, _: j.arrpop("doc", "$.stats"),
    "arrtrim": lambda j, _: j.arrtrim("doc", "$.moves", 0, 0),
    "strappend": lambda j, _: j.strappend("doc", "!", "$.name"),
    "strappend legacy": lambda j, _: j.strappend("doc", "?", ".name"),
    "strlen": lambda j, _: j.strlen("doc", "$.name"),
    "strlen legacy": lambda j, _: j.strlen("doc", ".name"),
    "strlen missing": lambda j, _: j.strlen("missing"),
    "objkeys": lambda j, _: j.objkeys("doc", "$.stats"),
    "objkeys legacy": lambda j, _: j.objkeys("doc", "."),
    "objkeys missing": lambda j, _: j.objkeys("missing"),
    "objkeys of no object": lambda j, _: j.objkeys("doc", "$.moves"),
    "objlen": lambda j, _: j.objlen("doc", "$"),
    "objlen legacy": lambda j, _: j.objlen("doc", "."),
    "type": lambda j, _: j.type("doc", "$.moves"),
    "type legacy": lambda j, _: j.type("doc", ".name"),
    "type of many": lambda j, _: j.type("doc", "$.*"),
    "type missing": lambda j, _: j.type("missing"),
    "toggle": lambda j, _: j.toggle("doc", "$.caught"),
    "toggle legacy": lambda j, _: j.toggle("doc", ".caught"),
    "toggle of a string": lambda j, _: j.toggle("doc", "$.name"),
    "resp": lambda j, _: j.resp("doc", "$"),
    "resp legacy": lambda j, _: j.resp("doc", "."),
    "resp missing": lambda j, _: j.resp("missing"),
    "debug memory": lambda j, _: j.debug("MEMORY", "doc", "$.name"),
    "debug help": lambda j, _: len(j.debug("HELP")) > 0,
    "debug of nothing": lambda j, _: j.debug("NOTHING"),
    "clear": lambda j, _: j.clear("doc", "$.stats"),
    "clear missing": lambda j, _: j.clear("missing"),
    "delete path": lambda j, _: j.delete("doc", "$.moves"),
    "forget path": lambda j, _: j.forget("doc", "$.level"),
    "delete path of nothing": lambda j, _: j.delete("doc", "$.nothing"),
    "delete": lambda j, _: j.delete("doc"),
    "delete missing": lambda j, _: j.delete("doc"),
    "wrong type": lambda j, r: (r.set("text", "x"), j.get("text")),
    "wrong path": lambda j, _: j.get("doc2", "$[" * 3),
    "deep nesting": lambda j, _: (j.set("deep", "$", _nested(100)), j.get("deep")),
    "no such command": lambda j, _: j.execute_command("JSON.NOTHING", "x"),
}

PLAIN_CALLS: dict[str, Any] = {
    "ping": lambda r: r.ping(),
    "echo": lambda r: r.echo("žluť"),
    "set": lambda r: r.set("s", "1"),
    "set ex nx": lambda r: r.set("s", "2", ex=10, nx=True),
    "set get": lambda r: r.set("s", "3", get=True),
    "set bytes": lambda r: r.set(b"\x00\xff", b"\x00\r\n\xff"),
    "get bytes": lambda r: r.get(b"\x00\xff"),
    "get": lambda r: r.get("s"),
    "get missing": lambda r: r.get("missing"),
    "getset": lambda r: r.getset("s", 4),
    "getdel": lambda r: r.getdel("s"),
    "mset": lambda r: r.mset({"a": 1, "b": 2.5}),
    "mget": lambda r: r.mget("a", "b", "missing"),
    "msetnx": lambda r: r.msetnx({"a": 1, "c": 2}),
    "incr": lambda r: r.incr("a", 5),
    "decr": lambda r: r.decr("a"),
    "incrbyfloat": lambda r: r.incrbyfloat("b", 0.25),
    "append": lambda r: r.append("a", "0"),
    "strlen": lambda r: r.strlen("a"),
    "setrange": lambda r: r.setrange("a", 1, "x"),
    "getrange": lambda r: r.getrange("a", 0, 1),
    "incr of a word": lambda r: r.incr("a"),
    "expire": lambda r: r.expire("a", 100),
    "ttl": lambda r: r.ttl("a") in (99, 100),
    "persist": lambda r: r.persist("a"),
    "ttl without": lambda r: r.ttl("a"),
    "exists": lambda r: r.exists("a", "b", "missing"),
    "type": lambda r: r.type("a"),
    "rename": lambda r: r.rename("b", "b2"),
    "rename missing": lambda r: r.rename("missing", "x"),
    "copy": lambda r: r.copy("a", "a2"),
    "touch": lambda r: r.touch("a", "missing"),
    "delete": lambda r: r.delete("a", "missing"),
    "unlink": lambda r: r.unlink("a2"),
    "hset": lambda r: r.hset("h", "f", "v"),
    "hset mapping": lambda r: r.hset("h", mapping={"n": 1, "x": 2.5, "u": "ü"}),
    "hsetnx": lambda r: r.hsetnx("h", "f", "w"),
    "hget": lambda r: r.hget("h", "f"),
    "hget bytes": lambda r: r.hget(b"h", b"f"),
    "hget missing": lambda r: r.hget("h", "missing"),
    "hgetall": lambda r: r.hgetall("h"),
    "hgetall missing": lambda r: r.hgetall("missing"),
    "hmget": lambda r: r.hmget("h", ["f", "missing"]),
    "hkeys": lambda r: r.hkeys("h"),
    "hvals": lambda r: r.hvals("h"),
    "hlen": lambda r: r.hlen("h"),
    "hexists": lambda r: r.hexists("h", "f"),
    "hincrby": lambda r: r.hincrby("h", "n", 2),
    "hincrbyfloat": lambda r: r.hincrbyfloat("h", "x", 0.5),
    "hscan": lambda r: r.hscan("h"),
    "hrandfield": lambda r: len(r.hrandfield("h", 2, withvalues=True)),
    "hdel": lambda r: r.hdel("h", "f", "missing"),
    "hget wrong type": lambda r: (r.set("s", 1), r.hget("s", "f")),
    "rpush": lambda r: r.rpush("l", "a", "b", "c", 4),
    "lpush": lambda r: r.lpush("l", 0),
    "lrange": lambda r: r.lrange("l", 0, -1),
    "lindex": lambda r: r.lindex("l", 1),
    "linsert": lambda r: r.linsert("l", "before", "b", "a2"),
    "llen": lambda r: r.llen("l"),
    "lpos": lambda r: r.lpos("l", "c"),
    "lrem": lambda r: r.lrem("l", 1, "a2"),
    "lset": lambda r: r.lset("l", 0, "z"),
    "lset out of range": lambda r: r.lset("l", 99, "z"),
    "ltrim": lambda r: r.ltrim("l", 0, 3),
    "lpop": lambda r: r.lpop("l"),
    "rpop two": lambda r: r.rpop("l", 2),
    "lmove": lambda r: r.lmove("l", "l2"),
    "blpop": lambda r: r.blpop("l2", timeout=1),
    "blpop nothing": lambda r: r.blpop("l2", timeout=0.01),
    "sadd": lambda r: r.sadd("set", "a", "b", 3),
    "smembers": lambda r: r.smembers("set"),
    "sismember": lambda r: r.sismember("set", "a"),
    "smismember": lambda r: r.smismember("set", ["a", "x"]),
    "scard": lambda r: r.scard("set"),
    "sunion": lambda r: r.sunion("set", "missing"),
    "sdiff": lambda r: r.sdiff("set", "missing"),
    "sscan": lambda r: sorted(r.sscan("set")[1]),
    "srem": lambda r: r.srem("set", "a"),
    "spop": lambda r: r.spop("missing"),
    "zadd": lambda r: r.zadd("z", {"a": 1, "b": 2.5, "c": 3}),
    "zadd incr": lambda r: r.zadd("z", {"a": 1}, incr=True),
    "zrange": lambda r: r.zrange("z", 0, -1),
    "zrange scores": lambda r: r.zrange("z", 0, -1, withscores=True),
    "zrevrange scores": lambda r: r.zrevrange("z", 0, -1, withscores=True),
    "zrangebyscore": lambda r: r.zrangebyscore("z", 2, 3, withscores=True),
    "zscore": lambda r: r.zscore("z", "b"),
    "zscore missing": lambda r: r.zscore("z", "missing"),
    "zmscore": lambda r: r.zmscore("z", ["a", "missing"]),
    "zrank": lambda r: r.zrank("z", "c"),
    "zincrby": lambda r: r.zincrby("z", 2, "a"),
    "zcard": lambda r: r.zcard("z"),
    "zcount": lambda r: r.zcount("z", "-inf", 3),
    "zpopmin": lambda r: r.zpopmin("z"),
    "zscan": lambda r: r.zscan("z"),
    "zrem": lambda r: r.zrem("z", "a"),
    "setbit": lambda r: r.setbit("bits", 7, 1),
    "bitcount": lambda r: r.bitcount("bits"),
    "pfadd": lambda r: r.pfadd("hll", "a", "b"),
    "pfcount": lambda r: r.pfcount("hll"),
    "geoadd": lambda r: r.geoadd("geo", (13.361389, 38.115556, "Palermo")),
    "geopos": lambda r: r.geopos("geo", "Palermo"),
    "xadd": lambda r: r.xadd("x", {"a": 1}, id="1-1"),
    "xrange": lambda r: r.xrange("x"),
    "xread": lambda r: r.xread({"x": 0}),
    "xlen": lambda r: r.xlen("x"),
    "scan": lambda r: sorted(r.scan(match="h*", count=1000)[1]),
    "scan_iter": lambda r: sorted(r.scan_iter(match="z*")),
    "dbsize": lambda r: r.dbsize(),
    "sort": lambda r: (r.rpush("n", 3, 1, 2), r.sort("n")),
    "object encoding": lambda r: r.object("encoding", "n"),
    "dump": lambda r: r.dump("n"),
    "restore": lambda r: r.restore("n2", 0, r.dump("n")),
    "eval": lambda r: r.eval("return {1, 'a', {ARGV[1]}, false}", 0, "x"),
    "evalsha unknown": lambda r: r.evalsha("0" * 40, 0),
    "script": lambda r: r.register_script("return KEYS[1]")(keys=["k"]),
    "config get": lambda r: r.config_get("maxmemory"),
    "config set": lambda r: r.config_set("hz", 10),
    "client setname": lambda r: r.client_setname("both"),
    "client getname": lambda r: r.client_getname(),
    "client list": lambda r: "addr" in r.client_list()[0],
    "info": lambda r: r.info("server")["redis_version"],
    "time": lambda r: len(r.time()),
    "lastsave": lambda r: r.lastsave().year > 2000,
    "memory usage": lambda r: r.memory_usage("n") > 0,
    "command count": lambda r: r.command_count() > 200,
    "execute_command": lambda r: r.execute_command("SET", "e", "1"),
    "execute_command lower case": lambda r: r.execute_command("hgetall", "h"),
    "execute_command of two words": lambda r: r.execute_command("OBJECT ENCODING", "n"),
    "unknown command": lambda r: r.execute_command("NOTHING", "a"),
    "wrong number of arguments": lambda r: r.execute_command("GET"),
    "argument of no type": lambda r: r.set("s", {"a": 1}),
    "argument None": lambda r: r.get(None),
    "json without json()": lambda r: r.execute_command("JSON.SET", "raw", "$", "[1]"),
    "flushdb": lambda r: r.flushdb(),
}


def _nested(levels: int) -> list[Any]:
    document: list[Any] = []
    for _ in range(levels):
        document = [document]
    return document


def _outcome(call: Any, *arguments: Any) -> tuple[str, Any]:
    """The value that a call returns, with its types, or its exception."""
    try:
        value = call(*arguments)
    except Exception as error:
        kind = "ConnectionError" if isinstance(error, redis.ConnectionError) else type(error).__name__
        return f"raises {kind}", str(error)
    return "returns", _typed(value)


def _typed(value: Any) -> Any:
    """A value with its types; RedisJSON returns the results of several paths in no particular order."""
    if isinstance(value, dict):
        return type(value), {key: _typed(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [_typed(each) for each in value]
    return type(value), value


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def protocol(request: pytest.FixtureRequest) -> int:
    """Both versions of the protocol."""
    return int(request.param)


@pytest.fixture
def both(redis_url: str, protocol: int):
    """This product's client and redis-py's, each on an empty database of its own."""
    base = redis_url.rpartition("/")[0]
    ours_url, theirs_url = f"{base}/8?protocol={protocol}", f"{base}/9?protocol={protocol}"
    with client_of(ours_url) as ours, redis.Redis.from_url(theirs_url) as theirs:
        ours.flushdb()
        theirs.flushdb()
        yield ours, theirs
        ours.flushdb()
        theirs.flushdb()


@pytest.mark.filterwarnings("ignore:Call to deprecated nummultby")
def test_json_commands_return_what_redis_py_returns(both):
    """Each command of RedisJSON, one after the other on the same documents, gives an equal value or the same error."""
    ours, theirs = both
    differences = {}
    for name, call in JSON_CALLS.items():
        outcomes = [_outcome(call, client.json(), client) for client in (theirs, ours)]
        if outcomes[0] != outcomes[1]:
            differences[name] = outcomes
    assert differences == {}


def test_plain_commands_return_what_redis_py_returns(both):
    """Each command of Redis, one after the other on the same keys, gives an equal value or the same error."""
    ours, theirs = both
    differences = {}
    for name, call in PLAIN_CALLS.items():
        outcomes = [_outcome(call, client) for client in (theirs, ours)]
        if outcomes[0] != outcomes[1]:
            differences[name] = outcomes
    assert differences == {}
