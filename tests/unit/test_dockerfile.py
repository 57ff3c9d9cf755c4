"""Reading Dockerfiles, against BuildKit's own parser (the Go parser behind the package ``dockerfile``)."""

import json
import os
import shlex
from pathlib import Path

import dockerfile as go_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagegraph import dockerfile
from stagegraph.dockerfile_text import join_lines, mount_fields, split_flags
from stagegraph.errors import UserError
from stagegraph.model import Arg, Dockerfile, ImageUse, Source
from stagegraph.parsecache import ParseCache

HEAD = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\n"
DIGEST = "sha256:" + "0123456789abcdef" * 4


def parse(directory: Path, text: str | bytes) -> Dockerfile:
    data = text.encode() if isinstance(text, str) else text
    (directory / "Dockerfile").write_bytes(data)
    return dockerfile.read(str(directory), "Dockerfile")


def run_text(directory: Path, lines: str) -> str:
    """The normal form of the one RUN in ``lines``."""
    return parse(directory, HEAD + lines).steps[0].instructions[1]


# ── meaning ──


def test_a_step_knows_what_it_stands_on_takes_and_declares(tmp_path: Path) -> None:
    text = f"""# A comment.
ARG BASE_IMAGE=localhost/base:1
ARG GCC_VERSION=14.2.0
FROM ${{BASE_IMAGE}} AS gcc
ARG GCC_VERSION
ARG EXTRA="a b" PLAIN
RUN --mount=type=bind,source=scripts/gcc.sh,target=/run/gcc.sh \\
    --mount=type=cache,target=/var/cache \\
    --mount=type=secret,id=transport,target=/run/transport,required=false,mode=0444 \\
    /run/gcc.sh
from $BASE_IMAGE as clang
COPY --chown=0:0 ./conf/ /etc/../etc/ conf*/x[ab] /etc/
FROM --platform=linux/arm64 busybox@{DIGEST} AS box
FROM gcc AS final
ARG V
COPY --from=clang /opt/${{V}} /opt
COPY ["a b", "/a"]
RUN --mount=from=box,target=/box --mount=type=bind,from=clang,src=/opt,dst=/o true
ADD /rooted.tar /
"""
    gcc, clang, box, final = parse(tmp_path, text).steps
    assert gcc.base == ImageUse("variable", "BASE_IMAGE", 4)
    assert gcc.args == (Arg("GCC_VERSION", "14.2.0", 5), Arg("EXTRA", "a b", 6), Arg("PLAIN", None, 6))
    assert gcc.sources == (Source("scripts/gcc.sh", 7, mount=True),)
    assert gcc.uses == ()
    assert clang.base == ImageUse("variable", "BASE_IMAGE", 11)
    assert clang.sources == (Source("conf", 12), Source("etc", 12), Source("conf*/x[ab]", 12))
    assert clang.args == ()
    assert (box.base, box.platform) == (ImageUse("image", f"busybox@{DIGEST}", 13), "linux/arm64")
    assert final.base == ImageUse("step", "gcc", 14)
    assert [(use.kind, use.ref, use.line) for use in final.uses] == [
        ("step", "clang", 16),
        ("step", "box", 18),
        ("step", "clang", 18),
    ]
    assert final.sources == (Source("a b", 17), Source("rooted.tar", 19))


def test_scratch_and_a_variable_platform(tmp_path: Path) -> None:
    text = (
        "ARG ARTIFACT_IMAGE\nARG ARTIFACT_PLATFORM=linux/amd64\n"
        "FROM --platform=${ARTIFACT_PLATFORM} ${ARTIFACT_IMAGE} AS artifact\n"
        "FROM --platform=$BUILDPLATFORM scratch AS empty\n"
    )
    artifact, empty = parse(tmp_path, text).steps
    assert artifact.platform == "${ARTIFACT_PLATFORM}"
    assert (empty.base.kind, empty.platform) == ("scratch", "$BUILDPLATFORM")


def test_an_arg_reaches_only_the_step_that_declares_it(tmp_path: Path) -> None:
    one, two = parse(tmp_path, f"ARG X=1\n{HEAD}ARG X\nARG Y=2\nFROM one AS two\nRUN echo $X\n").steps
    assert [arg.name for arg in one.args] == ["X", "Y"]
    assert two.args == ()


@pytest.mark.parametrize(
    ("word", "default"),
    [
        ("X", None),
        ("X=", ""),
        ("X=''", ""),
        ("X=a=b", "a=b"),
        ("X='a b'", "a b"),
        ("X=a\\ b", "a b"),
        ("X=$Y", "$Y"),
    ],
)
def test_default_of_an_arg(tmp_path: Path, word: str, default: str | None) -> None:
    assert parse(tmp_path, f"{HEAD}ARG {word}\n").steps[0].args == (Arg("X", default, 3),)


def test_bytes_that_are_accepted(tmp_path: Path) -> None:
    plain = parse(tmp_path, HEAD + "RUN a \\\n  b\n").steps[0].instructions
    assert parse(tmp_path, (HEAD + "RUN a \\\n  b\n").replace("\n", "\r\n")).steps[0].instructions == plain
    assert parse(tmp_path, "\ufeff" + HEAD + "RUN a \\\n  b").steps[0].instructions == plain
    assert parse(tmp_path, "# escape=\\\n" + HEAD + "RUN a b").steps[0].instructions == plain


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (b"FROM a\nRUN \0\n", 2, "NUL"),
        (b"ARG X\n\nRUN caf\xe9\n", 3, "0xe9"),
        (HEAD.encode("utf-16"), 1, "0xff"),
    ],
)
def test_bytes_that_are_refused(tmp_path: Path, data: bytes, line: int, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        parse(tmp_path, data)
    assert (caught.value.code, caught.value.line) == ("dockerfile-encoding", line)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    for name, reason in (("absent", "No such file"), ("directory", "Is a directory")):
        with pytest.raises(UserError, match=reason) as caught:
            dockerfile.read(str(tmp_path), name)
        assert (caught.value.code, caught.value.file) == ("dockerfile-missing", name)


def test_digest_of_an_external_image_is_whole(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        parse(tmp_path, f"FROM busybox@{DIGEST[:-1]} AS one\n")
    assert caught.value.code == "image-unpinned"


# ── normal form ──


def test_comments_blank_lines_and_wrapping_are_no_change(tmp_path: Path) -> None:
    plain = run_text(tmp_path, "RUN set -e; first --option 'a  b' && second\n")
    wrapped = "run set -e; \\\n\n  # why\n    first\\\n  --option   \\\n\t'a  b' \\  \n&& \\\nsecond\n# end\n"
    assert run_text(tmp_path, wrapped) == plain.replace("--option 'a", "--option 'a")


def test_a_join_without_blanks_joins_words(tmp_path: Path) -> None:
    assert run_text(tmp_path, "RUN echo foo\\\nbar\n") == "RUN echo foobar"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("RUN echo 'a \\\n   b'\n", "RUN echo 'a \\\n b'\n"),
        ('RUN echo "a \\\n   b"\n', 'RUN echo "a \\\n b"\n'),
        ('RUN echo "$(x "a \\\n   b")"\n', 'RUN echo "$(x "a \\\n b")"\n'),
        ('RUN echo "${X:-"a \\\n   b"}"\n', 'RUN echo "${X:-"a \\\n b"}"\n'),
        (
            'RUN echo "$(case x in x) echo "a \\\n  b";; esac)"\n',
            'RUN echo "$(case x in x) echo "a \\\n b";; esac)"\n',
        ),
        ('RUN echo "`x "a \\\n   b"`"\n', 'RUN echo "`x "a \\\n b"`"\n'),
        ("RUN echo $'it\\'s \\\n   b'\n", "RUN echo $'it\\'s \\\n b'\n"),
        ("RUN echo foo\\ \\\n  bar\n", "RUN echo foo\\ bar\n"),
        ("RUN echo a  b\n", "RUN echo a b\n"),
        ("ENV A b  c\n", "ENV A b c\n"),
        ("ENV A b\n", "ENV A b=\n"),
        ("ENV A=b\n", "ENV A b=\n"),
        ("COPY x /a\n", "COPY x /b\n"),
        ('CMD ["a b"]\n', 'CMD ["a", "b"]\n'),
        ('CMD ["a"]\n', "CMD a\n"),
    ],
)
def test_texts_that_may_differ_are_kept_apart(tmp_path: Path, one: str, other: str) -> None:
    assert run_text(tmp_path, one) != run_text(tmp_path, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('RUN a "$(nproc)" \\\n   b\n', 'RUN a "$(nproc)" b\n'),
        ('RUN a "$((1 + 2))" "${X}" \\\n   b\n', 'RUN a "$((1 + 2))" "${X}" b\n'),
        ('RUN a "it\'s" \\\n   b\n', 'RUN a "it\'s" b\n'),
        ('RUN a "$(x \\\n   y)"\n', 'RUN a "$(x y)"\n'),
        ("COPY   a\tb \\\n /c/\n", "copy a b /c/\n"),
        ('CMD [ "a",\\\n "b" ]\n', 'CMD ["a","b"]\n'),
        ("ENV A=b \\\n  C=d\n", "ENV A=b   C=d\n"),
        ("RUN \\\n a\n", "RUN a\n"),
        ("RUN a \\\n", "RUN a\n"),
    ],
)
def test_texts_that_mean_the_same_are_equal(tmp_path: Path, one: str, other: str) -> None:
    assert run_text(tmp_path, one) == run_text(tmp_path, other)


WORD = st.one_of(
    st.text("abcXYZ019-./=:&|;$#", min_size=1, max_size=6),
    st.text("ab  \\#", max_size=6).filter(lambda text: not text.endswith("\\")).map(lambda text: f"'{text}'"),
    st.text("ab  '#", max_size=6).map(lambda text: f'"{text}"'),
    st.just("a\\ b"),
).filter(lambda word: not word.startswith(("--", "#", "$'")) and "<<" not in word and "$'" not in word)
BREAK = st.sampled_from(
    [" ", " \\\n", " \\\n  ", "\\\n\t", " \\\n\n  ", " \\\n  # it's a \"comment\\\n ", " \\  \n\n# x\n "]
)


@given(st.lists(WORD, min_size=1, max_size=8), st.data())
def test_any_wrapping_of_words_gives_one_text(words: list[str], data: st.DataObject) -> None:
    breaks = [data.draw(BREAK) for _ in words[1:]]
    wrapped = words[0] + "".join(join + word for join, word in zip(breaks, words[1:], strict=True))
    assert join_lines(f"RUN {wrapped}".split("\n")) == f"RUN {' '.join(words)}"


# ── the oracle ──

INSTRUCTION = st.one_of(
    st.tuples(st.just("RUN"), st.lists(WORD, min_size=1, max_size=6)),
    st.tuples(st.just("run --mount=type=tmpfs,target=/t"), st.lists(WORD, min_size=1, max_size=6)),
    st.tuples(
        st.just("ENV"),
        st.lists(st.sampled_from(["A=1", 'B="x  y"', "C=a\\ b", "D="]), min_size=1, max_size=3),
    ),
    st.tuples(st.just("LABEL"), st.lists(st.sampled_from(["a.b=1", "'c d'=e"]), min_size=1, max_size=3)),
    st.tuples(st.just("COPY"), st.just(["a", "b*", "/c/"])),
    st.tuples(st.just("Copy --from=one"), st.just(["/a", "/c"])),
    st.tuples(st.sampled_from(["USER", "WORKDIR", "STOPSIGNAL"]), st.just(["${X}"])),
    st.tuples(st.just("EXPOSE"), st.just(["80", "443/tcp"])),
    st.tuples(
        st.just("CMD"), st.lists(st.text("ab '", max_size=4), max_size=3).map(lambda args: [json.dumps(args)])
    ),
    st.tuples(st.just("ENTRYPOINT"), st.lists(WORD, min_size=1, max_size=3)),
)


def shell_words(text: str) -> list[str]:
    return shlex.split(text, comments=False, posix=True)


def assert_like_the_go_parser(text: str, parsed: Dockerfile) -> None:
    ours = [instruction for step in parsed.steps for instruction in step.instructions]
    theirs = [
        command for command in go_parser.parse_string(text) if command.start_line >= parsed.steps[0].line
    ]
    assert len(ours) == len(theirs)
    for mine, command in zip(ours, theirs, strict=True):
        keyword, flags, rest = split_flags(mine)
        assert (keyword, flags) == (command.cmd.upper(), list(command.flags))
        if command.json:
            assert json.loads(rest) == list(command.value)
        elif keyword in ("ENV", "LABEL"):
            assert shell_words(mine)[1:] == shell_words(command.original)[1:]
        else:
            assert shell_words(rest) == shell_words(" ".join(command.value))
    lines = [command.start_line for command in theirs if command.cmd.upper() == "FROM"]
    assert [step.line for step in parsed.steps] == lines


@given(st.lists(INSTRUCTION, max_size=6), st.data())
def test_generated_dockerfiles_read_like_the_go_parser(
    tmp_path_factory: pytest.TempPathFactory, instructions: list[tuple[str, list[str]]], data: st.DataObject
) -> None:
    text = HEAD + "FROM one AS two\n"
    for keyword, words in instructions:
        text += keyword
        for word in words:
            text += data.draw(BREAK) + word
        text += data.draw(st.sampled_from(["\n", "\n\n# comment\n", "  \n"]))
    assert_like_the_go_parser(text, parse(tmp_path_factory.getbasetemp(), text))


FIXTURES = {
    "comments": "# a\n  # b\nFROM scratch AS a\n# c\nRUN a \\\n# d\n  # e\n b\n",
    "blank lines in a continuation": "FROM scratch AS a\nRUN a \\\n\n\n  b \\\n\n",
    "no last newline": "FROM scratch AS a\nRUN a",
    "continuation at the end": "FROM scratch AS a\nRUN a \\",
    "blanks after the continuation": "FROM scratch AS a\nRUN a \\  \n  b \\\t\n c\n",
    "escaped backslash is no continuation": "FROM scratch AS a\nRUN a \\\\\nRUN b\n",
    "indented instruction": "  FROM scratch AS a\n\t RUN a\n",
    "lower case": "from scratch as a\nrun a\ncopy b c\n",
    "json": 'FROM scratch AS a\nRUN ["a", "b c", "\\u0041"]\nCMD []\n',
    "json that is none": "FROM scratch AS a\nRUN [ -f x ]\nRUN [\"a\", 'b']\n",
    "flags over lines": "FROM scratch AS a\nRUN --mount=type=tmpfs,target=/a \\\n  --mount=type=tmpfs,target=/b \\\n x --y\n",
    "double dash": "FROM scratch AS a\nRUN -- x\n",
    "hash in words": "FROM scratch AS a\nRUN echo a#b '#c' \\\n  d\n",
    "env forms": "FROM scratch AS a\nENV a b  c\nENV a=b c='d e'\nENV a \"b c\"\n",
    "herestring": "FROM scratch AS a\nRUN cat <<<x\n",
    "shift": "FROM scratch AS a\nRUN echo $((1<<2))\n",
    "unicode": "FROM scratch AS a\nRUN echo 'ä \u2028 b' \u00e9\n",
    "carriage returns": "FROM scratch AS a\r\nRUN a \\\r\n  b\r\n",
    "empty continuation first": "FROM scratch AS a\nRUN \\\n \\\n a\n",
}


@pytest.mark.parametrize("name", FIXTURES)
def test_odd_dockerfiles_read_like_the_go_parser(tmp_path: Path, name: str) -> None:
    assert_like_the_go_parser(FIXTURES[name], parse(tmp_path, FIXTURES[name]))


@pytest.mark.parametrize(
    "text",
    ["FROM\n", "FROM a AS b\nENV a\n", "FROM a AS b\nENV a=b c\n", 'FROM a AS b\nCMD ["a", 1]\n', ""],
)
def test_what_the_go_parser_refuses_is_refused(tmp_path: Path, text: str) -> None:
    try:
        refused = not go_parser.parse_string(text) or text == "FROM\n"
    except go_parser.GoParseError:
        refused = True
    assert refused
    with pytest.raises(UserError) as caught:
        parse(tmp_path, text)
    assert caught.value.code == "dockerfile-syntax"


def test_mount_fields_have_one_name_each() -> None:
    assert mount_fields("--mount=src=a,dst=/b,readonly") == {
        "source": "a",
        "target": "/b",
        "ro": "true",
        "type": "bind",
    }
    assert mount_fields("--mount=type=secret,id=x,required=false")["required"] == "false"


# ── the cache ──


def test_a_parsed_file_is_not_parsed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Dockerfile").write_text(HEAD + "COPY --chown=1 a b /c/\nARG X=1\n")
    path = str(tmp_path / "cache" / "dockerfiles.json")
    cache = ParseCache(path)
    first = dockerfile.load(str(tmp_path), "Dockerfile", cache)
    assert not os.path.exists(path)
    cache.save()
    monkeypatch.setattr(dockerfile, "parse", None)
    assert dockerfile.load(str(tmp_path), "Dockerfile", ParseCache(path)) == first


def test_another_byte_is_parsed_again(tmp_path: Path) -> None:
    cache = ParseCache(str(tmp_path / "cache.json"))
    (tmp_path / "Dockerfile").write_text(HEAD + "RUN a\n")
    first = dockerfile.load(str(tmp_path), "Dockerfile", cache)
    (tmp_path / "Dockerfile").write_text(HEAD + "RUN b\n")
    assert dockerfile.load(str(tmp_path), "Dockerfile", cache) != first


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_broken_cache_is_an_empty_one(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "cache.json"
    path.write_bytes(broken)
    (tmp_path / "Dockerfile").write_text(HEAD)
    cache = ParseCache(str(path))
    expected = dockerfile.load(str(tmp_path), "Dockerfile", cache)
    cache.save()
    assert dockerfile.load(str(tmp_path), "Dockerfile", ParseCache(str(path))) == expected


@pytest.mark.parametrize(
    "wrong", [1, [], {}, {"path": "x", "steps": [1], "args": []}, {"path": "x", "steps": [{}]}]
)
def test_an_entry_of_another_shape_is_replaced(tmp_path: Path, wrong: object) -> None:
    path = tmp_path / "cache.json"
    (tmp_path / "Dockerfile").write_text(HEAD)
    cache = ParseCache(str(path))
    expected = dockerfile.load(str(tmp_path), "Dockerfile", cache)
    cache.save()
    path.write_text(json.dumps({key: wrong for key in json.loads(path.read_text())}))
    again = ParseCache(str(path))
    assert dockerfile.load(str(tmp_path), "Dockerfile", again) == expected


def test_json_form_is_lossless(tmp_path: Path) -> None:
    text = f"{HEAD}ARG X\nCOPY a /b\nFROM --platform=linux/arm64 x@{DIGEST} AS two\nCOPY --from=one /a /b\n"
    parsed = parse(tmp_path, text)
    assert dockerfile.from_json(json.loads(json.dumps(dockerfile.to_json(parsed)))) == parsed
