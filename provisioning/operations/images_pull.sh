# Pulls the images $3 and on, all at once, with the command $2; keeps what it needs in folder $1.
# "dyno: ..." lines are for whoever waits. Each pull goes on by itself when we are interrupted: it
# holds a lock, and the next one of us waits for it.
umask 077
docker=$2
mkdir -p "$1" && cd "$1" || exit
shift 2

key() { printf %s "$1" | sha256sum | cut -c 1-16; }

for image; do
  k=$(key "$image")
  exec 8>"$k.lock"
  flock -n 8 || continue
  rm -f "$k.rc"
  : >"$k.log"
  # shellcheck disable=SC2016
  setsid sh -c '$1 pull "$2" >"$3.log" 2>&1; echo $? >"$3.new"; mv "$3.new" "$3.rc"' \
    sh "$docker" "$image" "$k" </dev/null >/dev/null 2>&1 &
  exec 8>&-
done

began=$(date +%s) told=-2 last=
while :; do
  going= now=$(($(date +%s) - began))
  for image; do
    k=$(key "$image")
    [ ! -e "$k.rc" ] || continue
    if flock -n "$k.lock" true && [ ! -e "$k.rc" ]; then
      echo "the pull was killed" >>"$k.log"
      echo 1 >"$k.rc"
      continue
    fi
    all=$(grep -cE ': (Pulling fs layer|Already exists)$' "$k.log")
    done=$(grep -cE ': (Pull complete|Already exists)$' "$k.log")
    name=$(printf %s "$image" | sed 's/\(@sha256:.\{12\}\).*/\1/')
    [ "$all" = 0 ] || name="$name: $done of $all layers"
    going="$going
$name"
  done
  [ -n "$going" ] || break
  if [ $((now - told)) -ge 10 ] || { [ "$going" != "$last" ] && [ $((now - told)) -ge 2 ]; }; then
    printf '%s\n' "$going" | sed -n "s/..*/dyno: pulling &, $now s/p"
    told=$now last=$going
  fi
  sleep 0.2
done

code=0
for image; do
  k=$(key "$image")
  if [ "$(cat "$k.rc")" != 0 ]; then
    echo "failed $image: $(grep -v '^$' "$k.log" | tail -n 1)" >&2
    code=1
  fi
  rm -f "$k.rc" "$k.log"
done
exit $code
