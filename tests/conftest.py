"""What every test shares."""

import gevent.monkey

gevent.monkey.patch_all()
