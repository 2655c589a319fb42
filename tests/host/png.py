"""What a screenshot shows, in a line: enough to tell a drawn display from a dark one without a person looking."""
import struct
import zlib

# What guest-tests/fbbars.c draws, left to right.
BARS = [(255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0)]


def paeth(a, b, c):
    """The PNG specification's predictor, section 9.4."""
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    return a if pa <= pb and pa <= pc else b if pb <= pc else c


def unfilter(kind, line, above, bpp):
    if kind == 0:
        return line
    for i, value in enumerate(line):
        a = line[i - bpp] if i >= bpp else 0
        b = above[i]
        c = above[i - bpp] if i >= bpp else 0
        line[i] = (value + (a, b, (a + b) // 2, paeth(a, b, c))[kind - 1]) & 255
    return line


def load(path):
    """Width, height, and lines of RGB bytes of an 8-bit RGB or RGBA PNG without interlacing."""
    with open(path, "rb") as f:
        data = f.read()
    pos, body, bpp, width, height = 8, b"", 0, 0, 0
    while pos < len(data):
        length, kind = struct.unpack(">I4s", data[pos:pos + 8])
        chunk = data[pos + 8:pos + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", chunk)
            if depth != 8 or colour not in (2, 6) or interlace:
                raise ValueError(f"{path}: a kind of PNG that is not read here")
            bpp = 3 if colour == 2 else 4
        elif kind == b"IDAT":
            body += chunk
        pos += 12 + length
    raw, lines, above = zlib.decompress(body), [], bytearray(width * bpp)
    for y in range(height):
        start = y * (width * bpp + 1)
        above = unfilter(raw[start], bytearray(raw[start + 1:start + 1 + width * bpp]), above, bpp)
        lines.append(above if bpp == 3 else bytearray(v for i, v in enumerate(above) if i % 4 != 3))
    return width, height, lines


def describe(path):
    """'1280x800, N lit pixels[, colour bars]'"""
    width, height, lines = load(path)
    lit = sum(1 for line in lines for x in range(0, len(line), 3) if any(line[x:x + 3]))
    middle = lines[height // 2]
    seen = [tuple(middle[x * 3:x * 3 + 3]) for x in (width * (2 * i + 1) // 16 for i in range(8))]
    return f"{width}x{height}, {lit} lit pixels" + (", colour bars" if seen == BARS else "")
