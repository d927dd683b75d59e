"""What must not be shown is not: by its name, by its place in an address, by its value."""

from __future__ import annotations

import pytest

from twigma_spark.config.overlays import load
from twigma_spark.errors import ConfigError
from twigma_spark.redaction import hide, remember

PLANTED = "wJalrXUtnFEMI/K7MDENG"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"https://me:{PLANTED.replace('/', '')}@host/a", "https://***@host/a"),
        (f"s3a://b/a?X-Amz-Signature={PLANTED}&n=1", "s3a://b/a?X-Amz-Signature=***&n=1"),
        (f"https://b/a?sv=2&sig={PLANTED}&n=1", "https://b/a?sv=2&sig=***&n=1"),
        (f"spark.hadoop.fs.s3a.secret.key: {PLANTED}, x: 1", "spark.hadoop.fs.s3a.secret.key: ***, x: 1"),
        (f"{{'fs.azure.account.key.a': '{PLANTED}'}}", "{'fs.azure.account.key.a': '***'}"),
        (f"Authorization: Bearer {PLANTED}", "Authorization: Bearer ***"),
        (
            "tokens of a text, max_length=20, at user@example.org",
            "tokens of a text, max_length=20, at user@example.org",
        ),
        ("key=1, images/a@b.png, score: 3", "key=1, images/a@b.png, score: 3"),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(text: str, shown: str) -> None:
    assert hide(text) == shown


def test_a_secret_of_the_environment_is_known_by_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_BEARER_TOKEN", PLANTED)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    assert hide(f"it said {PLANTED} and false") == "it said *** and false"


def test_a_secret_of_the_configuration_is_known_by_its_value() -> None:
    remember({"spark": {"conf": {"spark.hadoop.fs.s3a.access.key": "AKIAIOSFODNN7", "spark.x": "value-of-x"}}})
    assert hide("AKIAIOSFODNN7 value-of-x") == "*** value-of-x"


@pytest.mark.parametrize(
    "given",
    [
        f"spark.conf={{spark.hadoop.fs.s3a.secret.key: {PLANTED}",
        f"spark.conf=[spark.hadoop.fs.s3a.secret.key, 'secret={PLANTED}']",
        f"spark.cnof={{spark.hadoop.fs.s3a.secret.key: {PLANTED}}}",
        f"spark.conf=[{'x' * 60}, 'me:{PLANTED}@host secret={PLANTED}']",
        f"corpora=[{{name: A, role: art, path: 's3a://me:{PLANTED[:10]}@bucket'}}]",
    ],
)
def test_the_faults_of_a_configuration_show_no_secret(given: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([], [given])
    assert PLANTED[:10] not in str(caught.value) and "***" in str(caught.value)
