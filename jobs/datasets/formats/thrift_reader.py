"""Read Thrift's compact protocol from bytes that may lie. Knows no Parquet."""

from collections.abc import Iterator

MAX_DEPTH = 16
TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
INTEGERS = (4, 5, 6)  # of 16, 32 and 64 bits


class MalformedStruct(Exception):
    """The bytes are no structure of the compact protocol."""


class ThriftReader:
    """Reads values one after another from `position` on. All methods raise MalformedStruct."""

    def __init__(self, data: bytes) -> None:
        self._data, self.position = data, 0

    def read_fields(self) -> Iterator[tuple[int, int]]:
        """Yield id and type of each field of a structure; the caller reads or skips its value."""
        field_id = 0
        while (header := self._read_byte()) != 0:
            field_id = field_id + (header >> 4) if header >> 4 else self._read_zigzag()
            yield field_id, header & 15

    def read_integer(self, kind: int) -> int:
        """Return the value of a field that must be a whole number."""
        if kind not in INTEGERS:
            raise MalformedStruct(f"type {kind} instead of a number")
        return self._read_zigzag()

    def read_text(self, kind: int) -> str:
        """Return the value of a field that must be a text."""
        if kind != BINARY:
            raise MalformedStruct(f"type {kind} instead of a text")
        length = self._read_varint()
        start = self.position
        self._advance(length)
        return self._data[start : self.position].decode(errors="replace")

    def check_struct(self, kind: int) -> None:
        """Check that the value of a field is a structure, whose fields are to be read next."""
        if kind != STRUCT:
            raise MalformedStruct(f"type {kind} instead of a structure")

    def read_list(self, kind: int) -> tuple[int, int]:
        """Return length and item type of a list, whose items are to be read next."""
        if kind not in (LIST, SET):
            raise MalformedStruct(f"type {kind} instead of a list")
        header = self._read_byte()
        length = header >> 4 if header >> 4 < 15 else self._read_varint()
        if length > len(self._data) - self.position:  # an item takes a byte at least
            raise MalformedStruct("a list of more items than bytes")
        return length, header & 15

    def skip(self, kind: int, depth: int = 0) -> None:
        """Skip the value of a field."""
        if depth > MAX_DEPTH:
            raise MalformedStruct("too deep")
        if kind in INTEGERS:
            self._read_varint()
        elif kind == STRUCT:
            for _, field_kind in self.read_fields():
                self.skip(field_kind, depth + 1)
        elif kind in (LIST, SET):
            length, item_kind = self.read_list(kind)
            for _ in range(length):
                self.skip(BYTE if item_kind in (TRUE, FALSE) else item_kind, depth + 1)
        elif kind in (BYTE, DOUBLE):
            self._advance(1 if kind == BYTE else 8)
        elif kind == BINARY:
            self._advance(self._read_varint())
        elif kind not in (TRUE, FALSE):
            raise MalformedStruct(f"type {kind}")

    def _read_zigzag(self) -> int:
        number = self._read_varint()
        return (number >> 1) ^ -(number & 1)

    def _read_varint(self) -> int:
        number, shift = 0, 0
        while shift < 64:
            byte = self._read_byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
        raise MalformedStruct("a number of more than 64 bits")

    def _read_byte(self) -> int:
        self._advance(1)
        return self._data[self.position - 1]

    def _advance(self, count: int) -> None:
        self.position += count
        if self.position > len(self._data):
            raise MalformedStruct("it ends early")
