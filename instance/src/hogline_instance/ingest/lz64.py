"""Decompress lz-string's base64 format, which posthog-js used before gzip, up to a size limit.

A few kilobytes can decompress to gigabytes, and the published Python port has no size limit, so
the decoder is ours. The format is that of the JavaScript library lz-string
(`decompressFromBase64`): codes of growing width, read from six-bit digits.
"""

__all__ = ["BrokenLzError", "OversizeLzError", "decompress"]

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BITS = {ord(digit): f"{value:06b}" for value, digit in enumerate(_DIGITS)}
_BITS |= {ord("="): "000000", ord(" "): _BITS[ord("+")], ord("-"): _BITS[ord("+")], ord("_"): _BITS[ord("/")]}
# The first three codes of every text mean: a character of 8 bits, a character of 16 bits, the end.
_CHARACTER_BITS = (8, 16)
_END = 2
_FIRST_FREE = 3


class BrokenLzError(ValueError):
    """The text is not lz-string's base64."""


class OversizeLzError(ValueError):
    """The text decompresses to more than the limit."""


def decompress(digits: str, max_characters: int) -> str:
    """Return the decompressed text, with UTF-16 pairs joined to characters.

    *max_characters* limits the output, counted in UTF-16 units as JavaScript does.
    Raises BrokenLzError or OversizeLzError.
    """
    units = "".join(_phrases(_bits(digits), max_characters))
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _bits(digits: str) -> str:
    if unknown := set(digits) - {chr(code) for code in _BITS}:
        raise BrokenLzError(f"{min(unknown)!r} is no base64 digit")
    return digits.translate(_BITS)


def _phrases(bits: str, max_characters: int) -> list[str]:
    """Yield the phrases that the codes in *bits* stand for."""
    # A code's bits come lowest first, so the slice is reversed before it is read as a number.
    phrases: list[str] = []
    known: list[str] = ["", "", ""]  # the three special codes stand for no phrase
    previous = ""
    width, position, until_wider, total = 2, 0, 1, 0
    while True:
        end = position + width
        if end > len(bits):
            raise BrokenLzError("the text is cut off")
        code = int(bits[position:end][::-1], 2)
        position = end
        if code == _END:
            return phrases
        if code < _END:
            end = position + _CHARACTER_BITS[code]
            if end > len(bits):
                raise BrokenLzError("the text is cut off")
            known.append(chr(int(bits[position:end][::-1], 2)))
            position = end
            code = len(known) - 1
            if len(known) > _FIRST_FREE + 1:  # no phrase is added for the first character
                until_wider -= 1
                if until_wider == 0:
                    until_wider, width = 1 << width, width + 1
        if code < len(known):
            phrase = known[code]
        elif code == len(known) and previous:
            phrase = previous + previous[0]
        else:
            raise BrokenLzError(f"code {code} stands for nothing yet")
        phrases.append(phrase)
        total += len(phrase)
        if total > max_characters:
            raise OversizeLzError(f"the text is over {max_characters} characters")
        if previous:
            known.append(previous + phrase[0])
        else:
            until_wider, width = 5, 3  # the loop subtracts one below, as for every code
        previous = phrase
        until_wider -= 1
        if until_wider == 0:
            until_wider, width = 1 << width, width + 1
