"""A path parameter that holds any text: clients' ids may have slashes and line breaks."""

from starlette.convertors import Convertor, register_url_convertor

__all__ = ["TextConvertor"]


class TextConvertor(Convertor[str]):
    """`{name:text}` matches up to the path's end; Starlette's `path` stops at a line break."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """Return *value* as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Return *value* as it is."""
        return value


register_url_convertor("text", TextConvertor())
