# Shell helpers of the scripts beside it; sourced, never run.
# shellcheck shell=bash

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

DEBIAN_MIRROR=${PYNODE_DEBIAN_MIRROR:-http://deb.debian.org/debian}

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# as_root COMMAND...: run it as root, if that can be had without a question.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif sudo -n true 2>/dev/null; then
        sudo "$@"
    else
        return 126
    fi
}

# need_packages REASON PACKAGE...: install Debian packages, or say how to.
need_packages() {
    local reason=$1
    shift
    local by_hand="sudo apt-get update && sudo apt-get install $*"
    if ! command -v apt-get >/dev/null; then
        fail "$reason; this is no Debian: install what Debian calls $* and start again"
    fi
    if ! as_root true; then
        fail "$reason, and installing needs root. By hand: $by_hand"
    fi
    say "$reason: installing $* (apt-get)"
    # Through env: sudo would keep the setting to itself, and wireshark-common has a question.
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get)
    as_root "${apt[@]}" update -qq >&2 ||
        say "apt-get update failed; going on with the lists there are"
    as_root "${apt[@]}" install -y -qq --no-install-recommends "$@" >&2 ||
        fail "apt-get could not install them. By hand: $by_hand"
}

# ensure_rabbitmq: there is a RabbitMQ for the tests to start; or else a test is skipped.  The
# service that comes with it is neither started nor enabled, here or at the next boot.
ensure_rabbitmq() {
    local policy=/usr/sbin/policy-rc.d made='' by_hand='sudo apt-get install rabbitmq-server'
    [ ! -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || return 0
    if ! as_root true; then
        say "rabbitmq-server is missing: a test is skipped. By hand: $by_hand"
        return 0
    fi
    if [ ! -e "$policy" ]; then
        made=1
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    # In a shell of its own, so that a failure ends that, and the policy goes again in any case.
    (need_packages "rabbitmq-server missing" rabbitmq-server) ||
        say "a test is skipped for want of RabbitMQ"
    [ -z "$made" ] || as_root rm -f "$policy"
    as_root env PATH="$PATH:/usr/sbin:/sbin" update-rc.d rabbitmq-server disable >/dev/null 2>&1 || true
}

# ensure_beam [for-tests]: there is an Erlang and an Elixir, and what else the tests ask of the
# system: erlang-dev has the headers that the flags are compared with, erlang-src has etop (its
# package brings a desktop along), iproute2 makes the network namespaces, tmux is a terminal to type
# on, tshark reads the protocol independently.
ensure_beam() {
    local missing=()
    command -v elixir >/dev/null && command -v mix >/dev/null || missing+=(elixir)
    command -v erl >/dev/null || [ "${#missing[@]}" -gt 0 ] || missing+=(erlang-nox)
    command -v ip >/dev/null || [ -x /sbin/ip ] || missing+=(iproute2)
    if command -v dpkg-query >/dev/null && [ "${1:-}" = for-tests ]; then
        find /usr/lib/erlang/lib -path '*/kernel-*/include/dist.hrl' 2>/dev/null | grep -q . ||
            missing+=(erlang-dev)
        find /usr/lib/erlang/lib -path '*/observer-*/src/etop.erl' 2>/dev/null | grep -q . ||
            missing+=(erlang-src)
        local tool
        for tool in tmux tshark; do
            if command -v "$tool" >/dev/null; then
                continue
            elif as_root true; then
                missing+=("$tool")
            else
                say "$tool is missing: a test is skipped. By hand: sudo apt-get install $tool"
            fi
        done
    fi
    if [ "${#missing[@]}" -gt 0 ]; then
        need_packages "${missing[*]} missing" "${missing[@]}"
    fi
    if command -v dpkg-query >/dev/null && [ "${1:-}" = for-tests ]; then
        ensure_rabbitmq
    fi
}

# find_python: print a Python of 3.11 or newer that can make virtual environments.
find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# sources_of_build [WORDS...]: print what changes when the compiled modules are to be built anew;
# WORDS are what they are built for, if that is not the Python of .venv.
sources_of_build() {
    {
        .venv/bin/python -VV
        command -v cc gcc clang || true
        printf '%s\n' "${PYNODE_ACCEL:-auto}" "$@"
        find pynode scripts/build_hook.py \( -name '*.pyx' -o -name '*.pxd' -o -name build_hook.py \) \
            -print0 | LC_ALL=C sort -z | xargs -0 cat
    } | sha256sum
}

# ensure_built: the compiled modules are those of the sources; where they cannot be had, the pure
# ones serve, and this is said.  PYNODE_ACCEL=off leaves them out, =require fails without them.
ensure_built() {
    local stamp=.venv/pynode.built wanted
    wanted=$(sources_of_build)
    if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
        say "compiling the codec"
        .venv/bin/python scripts/build_hook.py >&2 || fail "the codec could not be compiled"
        printf '%s\n' "$wanted" >"$stamp"
    fi
    if [ "${PYNODE_ACCEL:-auto}" = auto ] &&
        ! find pynode/etf -name "_compiled$(.venv/bin/python -c \
            'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')" | grep -q .; then
        say "the codec is pure Python; for the compiled one: sudo apt-get install gcc python3-dev"
    fi
}

# ensure_headers NAME VERSION: the C headers of the Python in .beam/NAME are in .beam/NAME.headers:
# of Debian's package of them the headers alone, got by this machine's apt with lists of its own.
ensure_headers() {
    local name=$1 python=$2 folder=$ROOT/.beam/$1.headers
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg work signed=''
    [ ! -d "$folder" ] || return 0
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    say "fetching the headers of Python $python into ${folder#"$ROOT/"} (apt-get)"
    work=$(mktemp -d "$ROOT/.beam/headers.XXXXXX")
    [ ! -f "$keyring" ] || signed="[signed-by=$keyring] "
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/root"
    printf 'deb %s%s %s main\n' "$signed" "$DEBIAN_MIRROR" "$name" >"$work/sources.list"
    local apt=(apt-get -qq -o "Dir::State=$work" -o "Dir::State::lists=$work/lists"
        -o Dir::State::status=/dev/null -o "Dir::Cache=$work/cache"
        -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
        -o Acquire::Languages=none -o "APT::Sandbox::User=$(id -un)")
    if "${apt[@]}" update >&2 && (cd "$work" && "${apt[@]}" download "libpython$python-dev" >&2) &&
        dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work/root" ./usr/include &&
        [ -f "$work/root/usr/include/python$python/Python.h" ]; then
        mv "$work/root" "$folder"
        rm -r "$work"
    else
        rm -r "$work"
        return 1
    fi
}

# ensure_built_for NAME VERSION: the same for the Python in .beam/NAME: there is no C compiler in
# there, so this machine's compiles for it.
ensure_built_for() {
    local name=$1 python=$2 stamp=.beam/$1.built wanted
    [ "${PYNODE_ACCEL:-auto}" = off ] || ensure_headers "$name" "$python" || {
        [ "${PYNODE_ACCEL:-auto}" = auto ] || fail "no headers of Python $python could be had"
        say "no headers of Python $python could be had: its tests run what was compiled before, or pure Python"
        return 0
    }
    wanted=$(sources_of_build "$ROOT" "$(cat ".beam/$name.versions")")
    if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
        say "compiling for Python $python"
        .venv/bin/python scripts/build_hook.py "$python" ".beam/$name.headers/usr/include" >&2 ||
            fail "the compiled modules could not be made for Python $python"
        printf '%s\n' "$wanted" >"$stamp"
    fi
}

# ensure_venv: .venv with this package (editable, compiled where that can be) and what its
# development needs.
ensure_venv() {
    local python stamp wanted
    stamp=.venv/pynode.stamp
    if [ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null; then
        wanted=$({ .venv/bin/python -VV && sha256sum <pyproject.toml; } | sha256sum)
        if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
            ensure_built
            return
        fi
    else
        python=$(find_python) || {
            need_packages "Python 3.11 or newer is missing" python3 python3-venv
            python=$(find_python) || fail "this Debian has no Python of 3.11 or newer"
        }
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            local version
            version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
            if [ "$python" -ef /usr/bin/python3 ]; then
                need_packages "Python cannot make a .venv" python3-venv
            else
                need_packages "Python cannot make a .venv" "python$version-venv"
            fi
        fi
        say "making .venv with $("$python" --version)"
        rm -rf .venv
        "$python" -m venv .venv
    fi
    say "installing pynode and its development packages into .venv (pip)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' >&2 ||
        fail "pip could not install them. By hand: .venv/bin/python -m pip install -e '.[dev]'"
    wanted=$({ .venv/bin/python -VV && sha256sum <pyproject.toml; } | sha256sum)
    printf '%s\n' "$wanted" >"$stamp"
    sources_of_build >.venv/pynode.built # pip has built them
    ensure_built
}
