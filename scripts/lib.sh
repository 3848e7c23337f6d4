# SPDX-License-Identifier: Apache-2.0
# Shared by scripts/demo and scripts/test (bash, sourced): what a plain Debian lacks gets installed, the tree gets built.
# shellcheck shell=bash disable=SC2034

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$top/build/logs # what the steps printed; .gitignore covers build/

build_packages=(gcc libc6-dev meson ninja-build pkg-config libsystemd-dev libevent-dev libjansson-dev libnghttp2-dev
        libprotobuf-c-dev protobuf-c-compiler libsqlite3-dev libssl-dev libcurl4-openssl-dev check)
lab_packages=(etcd-server etcd-client systemd dbus iproute2 python3 openssh-client openssh-server)
test_packages=(openssl curl groff-base clang clang-format clang-tidy libclang-rt-14-dev universal-ctags shellcheck)

say() { echo "== $*"; }

die() {
        echo "$(basename "$0"): $*" >&2
        exit 1
}

usage() { sed -n '3,/^set /s/^# \{0,1\}//p' "$0"; } # the comment at the head of the script

need_root() { [ "$(id -u)" = 0 ] || die "needs root: $1"; }

step() { # TITLE LOG COMMAND..: one line when it works; when it does not, the end of its output and where the rest is
        local title=$1 log=$logs/$2 started=$SECONDS
        shift 2
        mkdir -p "$logs"
        if "$@" >"$log" 2>&1 </dev/null; then
                say "$title: done in $((SECONDS - started)) s"
        else
                tail -n 25 "$log" >&2
                die "$title failed; everything it printed is in $log"
        fi
}

# ---- packages

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing_of() {
        local p
        for p in "$@"; do
                is_installed "$p" || echo "$p"
        done
}

forbid_service_starts() { # Debian's switch for exactly this; a switch that the host has set comes back afterwards
        policy=/usr/sbin/policy-rc.d
        if [ -e $policy ] && [ ! -e $policy.before-fleet ]; then mv $policy $policy.before-fleet; fi
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        trap allow_service_starts EXIT
}

allow_service_starts() {
        rm -f /usr/sbin/policy-rc.d
        if [ -e /usr/sbin/policy-rc.d.before-fleet ]; then mv /usr/sbin/policy-rc.d.before-fleet /usr/sbin/policy-rc.d; fi
        trap - EXIT
}

install_quietly() { # PACKAGE..
        apt-get update
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

install_packages() { # PACKAGE..: installs those that are missing, and starts and enables nothing
        local missing
        mapfile -t missing < <(missing_of "$@")
        [ "${#missing[@]}" -gt 0 ] || return 0
        command -v apt-get >/dev/null || die "these packages are missing, and only Debian's apt-get is known here: ${missing[*]}"
        say "installing ${#missing[@]} packages: ${missing[*]}"
        forbid_service_starts
        step "packages" packages.log install_quietly "${missing[@]}"
        allow_service_starts
        case " ${missing[*]} " in *" etcd-server "*) systemctl disable etcd.service >>"$logs/packages.log" 2>&1 || true ;; esac
        case " ${missing[*]} " in *" openssh-server "*) systemctl disable ssh.service >>"$logs/packages.log" 2>&1 || true ;; esac
}

# ---- build

set_up_build() { # FOLDER [MESON OPTION..]
        local folder=$1
        shift
        if [ -e "$folder/build.ninja" ]; then
                meson configure "$folder" "$@"
        else
                meson setup "$folder" "$top" --prefix /usr "$@"
        fi
}

build() { # FOLDER [MESON OPTION..]
        set_up_build "$@" && ninja -C "$1"
}

install_to() { # BUILD-FOLDER DESTINATION: what `meson install` puts on a machine
        rm -rf "$2"
        DESTDIR=$2 meson install -C "$1" --no-rebuild --quiet
}
