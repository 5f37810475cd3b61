"""The people of earlier batches, kept for the next ones.

They are used only while nobody else has written to the database (`pipeline.Batch.follows`), since
anything may have become of them otherwise.
"""

from hogline_instance.people.state import DistinctId, Key, People, Person

__all__ = ["RememberedPeople"]

# A person in memory takes about so many bytes, and so many for each byte of their properties' JSON.
_PERSON_BYTES = 1_000
_BYTES_PER_BYTE = 3


class RememberedPeople:
    """People with some of their ids, of all projects, in about *max_bytes* of memory.

    All are forgotten at once when there is no more room.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.ids: dict[Key, DistinctId] = {}
        """The ids that have a person."""
        self.persons: dict[Key, Person] = {}
        """By project and uuid. A person is one object, whatever number of ids they have."""
        self._sizes: dict[Key, int] = {}
        self._size_bytes = 0

    def add(self, people: People) -> None:
        """Remember *people*, whose changes are committed."""
        for key in people.removed:
            self.persons.pop(key, None)
            self._size_bytes -= self._sizes.pop(key, 0)
        for key, person in people.persons.items():
            person.is_new = person.is_changed = False
            self.persons[key] = person
            size = _PERSON_BYTES + _BYTES_PER_BYTE * len(person.encoded or b"")
            self._size_bytes += size - self._sizes.get(key, 0)
            self._sizes[key] = size
        for key, known in people.ids.items():
            known.is_new = known.is_changed = False
            if known.person is not None:
                self.ids[key] = known
        if self._size_bytes > self._max_bytes:
            self.forget()

    def forget(self) -> None:
        """Forget everybody."""
        for kept in (self.ids, self.persons, self._sizes):
            kept.clear()
        self._size_bytes = 0
