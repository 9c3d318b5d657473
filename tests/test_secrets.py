"""Passwords and tokens of addresses are in no message."""

from __future__ import annotations

import pytest

from tracker.commands.main import main
from tracker.core.errors import TrackerError, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "cannot open rtsp://admin:s3cret@10.0.0.7:554/h264: refused",
            "cannot open rtsp://***@10.0.0.7:554/h264: refused",
        ),
        ("http://user@host/a and srt://h:1?passphrase=x", "http://***@host/a and srt://h:1?passphrase=***"),
        ("http://h/a?token=abc123&x=1", "http://h/a?token=***&x=1"),
        ("http://h/a?x=1&api_key=abc; password=geheim", "http://h/a?x=1&api_key=***; password=geheim"),
        ("http://h/v.m3u8?X-Signature=a%2Fb&auth=c 'z'", "http://h/v.m3u8?X-Signature=***&auth=*** 'z'"),
        ("mail to a@b.c, court.mp4", "mail to a@b.c, court.mp4"),
    ],
)
def test_logins_and_tokens_are_starred(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
    assert str(TrackerError(text)) == without_secrets(text)


def test_a_camera_that_does_not_answer_is_named_without_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as e:
        main(["infer", "rtsp://admin:s3cret@127.0.0.1:9/a?token=abc", "--quiet"])
    told = capsys.readouterr().err
    assert e.value.code == 2 and "127.0.0.1" in told and "s3cret" not in told and "abc" not in told
