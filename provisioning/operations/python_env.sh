# Makes the virtual environment $1 with uv $2 and the Python $3 (a path or a version), from lines
# on standard input: `package REQUIREMENT`, `override REQUIREMENT`, `alias NAME VERSION`; whole or
# not at all. $4 is where uv keeps what it loads.
# "dyno: ..." lines are for whoever waits. The work goes on by itself when we are interrupted: it
# holds a lock, and the next one of us waits for it.
umask 022
to=$1
mkdir -p "${to%/*}" && exec 8>"$to.lock" || exit
if flock -n 8; then
  rm -rf "$to.new"
  cat >"$to.in"
  for kind in package override alias; do sed -n "s/^$kind //p" "$to.in" >"$to.$kind"; done
  (umask 077 && : >"$to.log") && chmod 600 "$to.log"  # it may name where packages come from
  # shellcheck disable=SC2016
  UV_CACHE_DIR=$4/cache UV_PYTHON_INSTALL_DIR=$4/pythons setsid sh -c '
    to=$1 uv=$2
    # An alias is nothing but its metadata.
    aliased() {
      while read -r name version; do
        for at in "$to.new"/lib/python*/site-packages; do
          mkdir -p "$at/$(echo "$name" | tr - _)-$version.dist-info" && printf \
            "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" "$name" "$version" \
            >"$at/$(echo "$name" | tr - _)-$version.dist-info/METADATA" || return
        done
      done <"$to.alias"
    }
    "$uv" venv --relocatable --no-project --python "$3" "$to.new" &&
      "$uv" pip install --python "$to.new/bin/python" -r "$to.package" \
        --override "$to.override" &&
      "$uv" pip freeze --python "$to.new/bin/python" >"$to.new/dyno-packages.txt" &&
      aliased &&
      rm -rf "$to" && sync "$to.new/pyvenv.cfg" && mv "$to.new" "$to"
  ' sh "$to" "$2" "$3" >"$to.log" 2>&1 </dev/null &
else
  echo "dyno: waiting for the environment that is being made already"
fi
exec 8>&-
began=$(date +%s) told=0
until flock -n "$to.lock" true; do
  now=$(($(date +%s) - began))
  if [ $((now - told)) -ge 5 ]; then
    echo "dyno: python: $(tail -n 1 "$to.log" | tr '\r' '\n' | tail -n 1 | cut -c 1-100), $now s"
    told=$now
  fi
  sleep 0.2
done
if [ -x "$to/bin/python" ]; then
  rm -f "$to.in" "$to.log" "$to.package" "$to.override" "$to.alias"
else
  rm -rf "$to.new" "$to.in" "$to.package" "$to.override" "$to.alias"
  tail -n 40 "$to.log" >&2
  exit 1
fi
