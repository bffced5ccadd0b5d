"""Report names on make's command line that are not settings: `unknown_names.py 'SCENRIO' 'SCENARIO PROFILE …'`."""

import difflib
import sys

unknown, known = (argument.split() for argument in sys.argv[1:])
for name in unknown:
    nearest = difflib.get_close_matches(name.removeprefix("LOADTEST_"), known, 1)
    hint = f"did you mean {nearest[0]}?" if nearest else "leave it out."
    sys.stderr.write(f"error: {name} is not a setting. Allowed: {', '.join(sorted(known))}. Next: {hint}\n")
