"""Small PNG files: a palette of the 256 most frequent colours, as much as a chart needs."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Chromium decodes its own screenshot. Colours are rounded to 5 bits a channel; the rest take the nearest one.
_QUANTIZE = """async (encoded) => {
  const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${encoded}`)).blob());
  const { width, height } = image;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, width, height).data;
  const codes = new Uint16Array(width * height), counts = new Map();
  for (let i = 0; i < codes.length; i += 1) {
    const code = (pixels[4 * i] >> 3) << 10 | (pixels[4 * i + 1] >> 3) << 5 | pixels[4 * i + 2] >> 3;
    codes[i] = code;
    counts.set(code, (counts.get(code) ?? 0) + 1);
  }
  const parts = (code) => [code >> 10, code >> 5 & 31, code & 31];
  const kept = [...counts.entries()].sort((a, b) => b[1] - a[1]).slice(0, 256).map(([code]) => code);
  const nearest = new Map([...counts.keys()].map((code) => {
    const [r, g, b] = parts(code);
    const apart = kept.map(parts).map(([x, y, z]) => (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2);
    return [code, apart.indexOf(Math.min(...apart))];
  }));
  const text = Array.from(codes, (code) => String.fromCharCode(nearest.get(code)));
  return { width, height, palette: kept.flatMap((code) => parts(code).map((part) => part << 3 | part >> 2)),
    indices: btoa(text.join("")) };
}"""


def small(view: Page, picture: bytes) -> bytes:
    """Return a screenshot with a palette, a third to a sixth as large; the page is where Chromium does the work."""
    made = view.evaluate(_QUANTIZE, base64.b64encode(picture).decode())
    width, height, indices = made["width"], made["height"], base64.b64decode(made["indices"])
    rows = b"".join(b"\0" + indices[start : start + width] for start in range(0, width * height, width))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits, palette, no interlacing
    chunks = ((b"IHDR", header), (b"PLTE", bytes(made["palette"])), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
