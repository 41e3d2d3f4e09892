#!/bin/sh
# Makes the virtual environment where there is none, and installs sections of requirements.lock in it.
# Usage: VENV=.venv PYTHON= sh workflow/set-up.sh SECTION...    sections: run, cluster, test, site
#        sh workflow/set-up.sh --which                          prints the Python that would be taken
# An explicit PYTHON wins; else the newest Python on the path that fits, really runs and can make an environment.
set -eu
VENV=${VENV:-.venv}
PYTHON=${PYTHON:-}
FITS="Python 3.11 to 3.14 with venv"

# Minor version of a Python that fits; nothing and a status of 1 for any other, such as a shim that runs nothing.
minor_of() {
    "$1" -c '
import sys
fits = (3, 11) <= sys.version_info[:2] <= (3, 14) and sys.implementation.name == "cpython"
try:
    import ensurepip, venv
except ImportError:
    fits = False
print(sys.version_info[1]) if fits else sys.exit(1)' 2> /dev/null < /dev/null
}

# Every folder of the path is looked into, since a shim that runs nothing may hide a Python behind it.
newest() {
    best= best_minor=0
    old_ifs=$IFS
    IFS=:
    for folder in $PATH; do
        for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
            if [ -x "$folder/$name" ] && minor=$(minor_of "$folder/$name") && [ "$minor" -gt "$best_minor" ]; then
                best=$folder/$name best_minor=$minor
            fi
        done
    done
    IFS=$old_ifs
    [ -n "$best" ] && echo "$best"
}

chosen() {
    if [ -n "$PYTHON" ]; then
        minor_of "$PYTHON" > /dev/null || {
            echo "PYTHON=$PYTHON is no $FITS: give another one, as in make PYTHON=/usr/bin/python3.12" >&2
            return 1
        }
        command -v "$PYTHON"
    else
        newest || {
            echo "No $FITS was found: looked on the path for python3.14, python3.13, python3.12," \
                "python3.11, python3 and python that run; install one (on Debian and Ubuntu with" \
                "python3-venv), or give its path, as in make PYTHON=/opt/python3.12/bin/python3.12" >&2
            return 1
        }
    fi
}

if [ "${1:-}" = --which ]; then
    chosen
    exit
fi

# An environment that is there is kept, unless its Python cannot serve.
if [ -x "$VENV/bin/python" ]; then
    minor_of "$VENV/bin/python" > /dev/null || {
        echo "The environment $VENV has no $FITS: delete the folder $VENV and start again." >&2
        exit 1
    }
else
    python=$(chosen)
    echo "Setting up $VENV with $python"
    "$python" -m venv "$VENV"
fi

# On a machine without a GPU build of torch in reach this takes the CPU build.
for section in "$@"; do
    awk -v wanted="[$section]" '/^# \[/ { on = ($2 == wanted) } on' requirements.lock |
        "$VENV/bin/pip" install --quiet --disable-pip-version-check --requirement /dev/stdin
done
