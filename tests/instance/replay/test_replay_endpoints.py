"""The replay endpoint: recordings are accepted, although none is kept."""


def test_the_recorder_gets_success(reader):
    """After an error the recorder would send the same recording again."""
    answer = reader.pool.request("POST", f"{reader.url}/s/", body=b"[]")
    assert (answer.status, answer.json()) == (200, {"status": 1})
