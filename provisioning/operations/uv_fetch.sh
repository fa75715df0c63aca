# Puts uv's program at $2, whole or not at all: the Python $1 runs pip, which comes on standard
# input, on the requirement $3 (with its hashes); what follows are further options of pip's.
umask 022
python=$1 to=$2 requirement=$3
shift 3
mkdir -p "${to%/*}" && work=$(mktemp -d "$to.XXXXXX") || exit
trap 'rm -rf "$work"' EXIT
cat >"$work/pip.pyz" && printf '%s\n' "$requirement" >"$work/requirements" || exit
echo "dyno: fetching ${requirement%% *}"
"$python" -I "$work/pip.pyz/pip" install -q --disable-pip-version-check --no-input --no-cache-dir \
  --timeout 10 --retries 2 --no-deps --only-binary :all: --require-hashes --target "$work/uv" \
  -r "$work/requirements" "$@" 2>&1 || exit
mv "$work/uv/bin/uv" "$to"
