"""Names of images, as buildah 1.28 and podman 4.3 list them."""

from __future__ import annotations

import pytest

from stagegraph import names
from stagegraph.errors import UserError


@pytest.mark.parametrize(
    ("repository", "listed"),
    [
        ("myimage", "localhost/myimage:t"),
        ("foo/bar", "localhost/foo/bar:t"),
        ("localhost/q", "localhost/q:t"),
        ("localhost:5000/q", "localhost:5000/q:t"),
        ("docker.io/foo", "docker.io/library/foo:t"),
        ("index.docker.io/foo", "docker.io/library/foo:t"),
        ("docker.io/a/b", "docker.io/a/b:t"),
        ("reg.example:5000/a/b_c/d--e", "reg.example:5000/a/b_c/d--e:t"),
        ("127.0.0.1/x", "127.0.0.1/x:t"),
    ],
)
def test_a_name_has_one_form(repository: str, listed: str) -> None:
    assert names.tagged(repository, "t") == listed


@pytest.mark.parametrize(
    "repository",
    ["", "/", "ghcr.io/Upper/x", "ghcr.io/a//b", "a b", "a:1/b:2", "ghcr.io/x:tag", "ghcr.io/-x", "a.", "ü", "a_", "a..b",
     "http://ghcr.io/x", "a\nb", "."],
)  # fmt: skip
def test_what_is_no_repository(repository: str) -> None:
    with pytest.raises(UserError) as caught:
        names.tagged(repository, "t")
    assert caught.value.code == "image-name"
    assert repr(repository) in caught.value.message and caught.value.hint


@pytest.mark.parametrize("tag", ["", "-x", ".x", "a/b", "a b", "x" * 129, "ü", "a\n"])
def test_what_is_no_tag(tag: str) -> None:
    with pytest.raises(UserError, match="is no tag"):
        names.tagged("a", tag)


@pytest.mark.parametrize("name", ["sdk", "sdk-arm64", "a.b", "a__b", "a--b", "0"])
def test_a_part_of_a_repository(name: str) -> None:
    names.check_component("a stage", name)


@pytest.mark.parametrize("name", ["", "My", "a b", "a/b", "a_", "-a", "a..b", "a___b", "a\n"])
def test_what_is_no_part_of_a_repository(name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of a stage"):
        names.check_component("a stage", name)
