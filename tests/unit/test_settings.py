"""What is read from the environment and from .env, and what is refused there."""

import os
import threading
from pathlib import Path

import pytest

from lcm_pipeline.cli.commands.init import _write
from lcm_pipeline.settings import Settings, SettingsError, load_settings
from tests.waiting import PATIENCE


@pytest.fixture(autouse=True)
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of .env in a new working directory; the file does not exist yet."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".env"


def problems() -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert refused.value.exit_code == 2
    return str(refused.value).splitlines()


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_field_may_be_set_in_any_case(field: str, env_file: Path) -> None:
    # An empty value counts as unset, so it fits every field.
    env_file.write_text(f"LCM_{field.upper()}=\nlcm_{field}=\n")
    assert getattr(load_settings(), field) == getattr(Settings(_env_file=None), field)


def test_a_misspelt_name_in_the_environment_gets_the_nearest_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LCM_MAX_RSP", "3")
    assert problems() == ["unknown setting LCM_MAX_RSP; did you mean LCM_MAX_RPS?"]


def test_all_problems_are_listed_at_once_and_each_name_once(
    monkeypatch: pytest.MonkeyPatch, env_file: Path
) -> None:
    env_file.write_text(
        "LCM_OPERATOR=5\n\n# a comment\n\nlcm_delete_fuze=1\nLCM_MAX_RSP=1\nLCM_MAX_RSP=2\n"
    )
    monkeypatch.setenv("LCM_MAX_RSP", "3")
    monkeypatch.setenv("lcm_zzz", "")
    monkeypatch.setenv("LCM_PAGE_LENGTH", "many")
    found = problems()
    assert found[:3] == [
        f"{env_file}, line 5: unknown setting lcm_delete_fuze; did you mean LCM_DELETE_FUSE?",
        f"{env_file}, line 6: unknown setting LCM_MAX_RSP; did you mean LCM_MAX_RPS?",
        "unknown setting lcm_zzz; see .env.example",
    ]
    assert len(found) == 4
    assert found[3].startswith("LCM_PAGE_LENGTH: ")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("OPERATOR", "x", "expected a whole number, such as 7; got 'x'"),
        ("CONCURRENCY", "0", "expected a whole number from 1 to 512, such as 16; got '0'"),
        ("MAX_RPS", "-1", "expected a number from 0.01 to 100000, such as 5; got '-1'"),
        ("MAX_RPS", "inf", "expected a number from 0.01 to 100000, such as 5; got 'inf'"),
        ("TIMEOUT", "inf",
         "expected a number greater than 0, 3600 at most, such as 90.0; got 'inf'"),
        ("GROWTH_FUSE", "nan", "expected a number, 0 or more, such as 2.0; got 'nan'"),
        ("START_DATE", "1.3.2026",
         "expected a day, 1990-01-01 or later, such as 2026-03-01; got '1.3.2026'"),
        # pydantic would read it as seconds since 1970, which is a day of August 1970.
        ("START_DATE", "20260301",
         "expected a day, 1990-01-01 or later, such as 2026-03-01; got '20260301'"),
        ("START_DATE", "0001-01-01",
         "expected a day, 1990-01-01 or later, such as 2026-03-01; got '0001-01-01'"),
        # Known to Python where the system's zone folder has them, and never to Postgres.
        ("TIMEZONE", "localtime",
         "expected a time zone name such as Europe/Moscow; got 'localtime'"),
        ("TIMEZONE", "right/Europe/Moscow",
         "expected a time zone name such as Europe/Moscow; got 'right/Europe/Moscow'"),
        ("API_FORMAT", "yaml", "expected json or xml; got 'yaml'"),
        ("LANGUAGE", "de", "expected ru or en; got 'de'"),
        ("EXECUTOR", "pool", "expected in_process, multiprocess, celery or k8s; got 'pool'"),
        ("ALLOW_HTTP", "maybe", "expected 1 for yes or 0 for no; got 'maybe'"),
        ("DELETE_FUSE", "1e999", "expected a share such as 1/7 or 0.05; got '1e999'"),
        ("AUDIT_SHARE", "7", "expected a share between 0 and 1; got '7'"),
        ("API_URL", "ftp://u:s3cr3t@shop.example/", "expected an address such as "
         "https://host/prefix/, with a host"),
        ("DATABASE_URL", "mysql://u:s3cr3t@h/d",
         "expected postgresql://user:password@host:port/database"),
        ("TOKEN", "s3cr3t", "expected a whole number, such as 12345"),
        ("HOME", "~nobody-here/x", "~ names no home folder here: expected an absolute path"),
        ("HOME", " ", "expected a path, not only blanks; got ''"),
        ("TOKEN_FILE", "\t", "expected a path, not only blanks; got ''"),
        ("TOKEN_FILE", "~nobody-here/x", "~ names no home folder here: expected an absolute path"),
    ],
)  # fmt: skip
def test_the_error_for_a_wrong_value_shows_what_is_allowed_but_no_secret(
    name: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LCM_{name}", value)
    assert problems() == [f"LCM_{name}: {problem}"]


def test_no_message_has_the_wording_of_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(f"LCM_{name.upper()}", "-1.5e\u00e9")
    found = problems()
    assert len(found) > 20
    assert [line for line in found if "Input should" in line or "another value" in line] == []


def test_a_setting_that_is_no_secret_is_not_read_from_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LCM_API_URL_FILE", "/x")
    assert problems() == [
        "unknown setting LCM_API_URL_FILE; only secrets are read from files, such as"
        " LCM_TOKEN_FILE: set LCM_API_URL itself"
    ]


def test_names_of_other_programs_are_ignored(
    monkeypatch: pytest.MonkeyPatch, env_file: Path
) -> None:
    env_file.write_text("http_proxy=http://127.0.0.1:abc\nLCMS_FOLDER=x\nTOKEN=5\nOPERATOR=x\n")
    monkeypatch.setenv("LCMS_FOLDER", "x")
    monkeypatch.setenv("PG_BINDIR", "/nowhere")
    assert load_settings().operator is None


@pytest.mark.parametrize(
    "text",
    [
        "LCM_OPERATOR=5",
        "export LCM_OPERATOR=5\n",
        "  LCM_OPERATOR = '5'  # of the shop\n",
        'LCM_OPERATOR="5"\n',
        "\ufeffLCM_OPERATOR=5\n",
        "LCM_OPERATOR=5\r\nLCM_TIMEOUT=3\r\n",
        "\n# Оператор\n'LCM_OPERATOR'=5\n",
        "N=5\nLCM_OPERATOR=${N}\n",
        "LCM_OPERATOR=4\nLCM_OPERATOR=5\n",
        "LCM_SITE_CODE='two\nlines'\nLCM_OPERATOR=5\n",
    ],
)
def test_env_files_are_read_as_python_dotenv_does(text: str, env_file: Path) -> None:
    env_file.write_text(text, encoding="utf-8", newline="")
    assert load_settings().operator == 5


def test_the_environment_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch, env_file: Path
) -> None:
    env_file.write_text("LCM_OPERATOR=5\n")
    monkeypatch.setenv("lcm_operator", "6")
    assert load_settings().operator == 6


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"LCM_OPERATOR 5\n", 1),
        (b"\n\r\n  LCM_OPERATOR: 5\n", 3),
        (b"LCM_OPERATOR=5\nLCM_PASSWORD\n", 2),
        (b"LCM_OPERATOR=5\n\nLCM_PASSWORD='s3cr3t\n", 3),
        (b'LCM_PASSWORD="s3cr3t"s3cr3t\n', 1),
        (b"# one\n=s3cr3t\n", 2),
        (b"[settings]\n", 1),
    ],
)
def test_a_malformed_line_is_reported_by_its_number_and_not_quoted(
    content: bytes, line: int, env_file: Path
) -> None:
    env_file.write_bytes(content)
    assert problems() == [f"{env_file}, line {line}: expected NAME=VALUE, with every quote closed"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LCM_API_URL", "https://ho st/"),
        ("LCM_API_URL", "https://host/pre fix/"),
        ("LCM_API_URL", "https://host/prefix/?format=json"),
        ("LCM_API_URL", "https://host/prefix/#help"),
        ("LCM_API_URL", "https://a..b/"),
        ("LCM_API_URL", f"https://{'a' * 64}.ru/"),
        ("LCM_OPERATOR", "9" * 20),
        ("LCM_TOKEN", "²"),
        ("LCM_TOKEN", "٣"),
        ("LCM_TOKEN", "9" * 20),
        ("LCM_TOKEN", "9" * 5000),
    ],
)
def test_a_value_that_no_service_can_accept_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    [problem] = problems()
    assert problem.startswith(f"{name}: expected a")


@pytest.mark.parametrize("host", ["my_host", "host.example.", "xn--e1afmkfd.xn--p1ai", "пример.рф"])
def test_an_address_of_any_host_name_is_accepted(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCM_API_URL", f"https://{host}/prefix")
    assert load_settings().api_url == f"https://{host}/prefix/"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("LCM_PASSWORD='s3${cr3t}'", "LCM_PASSWORD has a ${NAME} of a variable that is not set;"
                                     " write ${:-$} for a $ before a brace"),
        ("LСM_OPERATOR=5", "a name with a letter that is not Latin"),
        ("LCM-MAX-RPS=5", "unknown setting LCM-MAX-RPS; did you mean LCM_MAX_RPS?"),
    ],
)  # fmt: skip
def test_a_line_that_does_not_do_what_it_seems_to_is_reported(
    line: str, problem: str, env_file: Path
) -> None:
    env_file.write_text(f"{line}\n", encoding="utf-8")
    assert problems() == [f"{env_file}, line 1: {problem}"]


def test_init_writes_a_password_that_is_read_as_it_was_given(env_file: Path) -> None:
    password = "a${nope}b${HOME}$${x:-y}\\'\"${"
    _write({"username": "me", "password": password})
    read = load_settings().password
    assert read is not None
    assert read.get_secret_value() == password


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("# Оператор\nLCM_OPERATOR=5\n".encode("cp1251"), 1),
        (b"LCM_OPERATOR=5\nLCM_PASSWORD=s3cr3t\xe9\n", 2),
        (b"\xef\xbb\xbf\n\xff", 2),
        ("LCM_OPERATOR=5\n".encode("utf-16"), 1),
    ],
)
def test_a_file_that_is_not_utf_8_is_reported_with_the_line(
    content: bytes, line: int, env_file: Path
) -> None:
    env_file.write_bytes(content)
    assert problems() == [f"{env_file}, line {line}: not UTF-8; save the file as UTF-8"]


def test_an_env_file_that_is_a_folder_or_a_loop_is_reported(env_file: Path) -> None:
    env_file.mkdir()
    assert problems() == [f"{env_file} cannot be read: Is a directory"]
    env_file.rmdir()
    env_file.symlink_to(env_file)
    assert problems() == [f"{env_file} cannot be read: Too many levels of symbolic links"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_env_file_that_may_not_be_read_is_reported(env_file: Path) -> None:
    env_file.write_text("LCM_OPERATOR=5\n")
    env_file.chmod(0)
    assert problems() == [f"{env_file} cannot be read: Permission denied"]


def test_an_env_file_that_is_a_pipe_is_read_once(env_file: Path) -> None:
    os.mkfifo(env_file)
    writer = threading.Thread(target=env_file.write_text, args=("LCM_OPERATOR=5\n",), daemon=True)
    writer.start()
    assert load_settings().operator == 5
    writer.join(PATIENCE)
    assert not writer.is_alive()


SECRETS = [name.removesuffix("_file") for name in Settings.model_fields if name.endswith("_file")]
SECRETS.remove("ca")
VALUES = {
    "token": "12345",
    "pseudonym_key": "k" * 16,
    "celery_broker": "redis://:p@127.0.0.1/0",
} | {name: "postgresql://u:p@127.0.0.1/db" for name in SECRETS if name.endswith("database_url")}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_be_in_a_file_of_its_own(name: str, tmp_path: Path, env_file: Path) -> None:
    value = VALUES.get(name, "s3cret value")
    (tmp_path / "secret").write_text(f"{value}\n")
    env_file.write_text(f"LCM_{name.upper()}_FILE={tmp_path / 'secret'}\nLCM_USERNAME=u\n")
    others = {} if name == "password" else {"password": "p"}
    assert getattr(load_settings(**others), name).get_secret_value() == value


def test_every_secret_may_be_in_a_file() -> None:
    secret = {name for name, field in Settings.model_fields.items() if "Secret" in str(field)}
    assert secret == set(SECRETS)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "LCM_PASSWORD_FILE: '{path}' cannot be read (No such file or directory)"),
        (b"\n", "LCM_PASSWORD_FILE: '{path}' is empty"),
        (b"\xff\xfe", "LCM_PASSWORD_FILE: '{path}' is not UTF-8"),
        (b"x", "LCM_PASSWORD and LCM_PASSWORD_FILE are both set: leave one out"),
    ],
)
def test_a_file_without_a_secret_is_reported(
    content: bytes | None, problem: str, tmp_path: Path, env_file: Path
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    both = "LCM_PASSWORD=y\n" if content == b"x" else ""
    env_file.write_text(f"LCM_USERNAME=u\n{both}LCM_PASSWORD_FILE={path}\n")
    assert problems() == [problem.format(path=path)]


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("http://127.0.0.1:8000/x/", True),
        ("http://[::1]:8000/x/", True),
        ("http://localhost/x/", True),
        ("https://shop.example/x/", True),
        ("http://shop.example/x/", False),
        ("http://10.0.0.7/x/", False),
        ("http://localhost.evil.example/", False),
    ],
)
def test_plain_http_to_other_machines_must_be_allowed(
    url: str, is_allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCM_API_URL", url)
    if is_allowed:
        assert load_settings().api_url == url
    else:
        assert "LCM_ALLOW_HTTP=1" in problems()[0]
        monkeypatch.setenv("LCM_ALLOW_HTTP", "1")
        assert load_settings().api_url == url
