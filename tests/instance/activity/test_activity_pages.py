"""The page of stored events."""

import re
import uuid
from html import unescape

from tests.instance.reader import event, text_of


def test_stored_events_page_filters_and_pages_like_the_api(reader):
    """`Older` leads to the next page, and the form keeps its values."""
    name = f"paged-{uuid.uuid4()}"
    reader.send(*(event(name, after_s=-index) for index in range(130)))
    reader.wait_for(130, event=name)
    first = reader.get("/events", event=name).data.decode()
    assert f'value="{name}"' in first
    older = unescape(re.search(r'rel="next" href="([^"]+)"', first).group(1))
    second = reader.get(older).data.decode()
    rows = [set(re.findall(r'data-uuid="([^"]+)"', page)) for page in (first, second)]
    assert [len(row) for row in rows] == [100, 30]
    assert not rows[0] & rows[1]
    assert 'rel="next"' not in second


def test_a_bad_filter_is_explained_on_a_page(reader):
    """The page explains a mistyped value in a sentence."""
    answer = reader.get("/events", after="yesterday")
    assert answer.status == 400
    assert "ISO 8601" in text_of(answer)
