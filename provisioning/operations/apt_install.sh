# Installs the packages named. Run as root; "dyno: ..." lines are for whoever waits.
# Whoever interrupts it may: apt goes on without us, for its output is a file; the next one waits
# for it, and repairs what was left half done.
# Of DYNO_APT_ALSO those come along that there are; with DYNO_APT_REMOVE=true, what is in the way goes.
log=/var/log/llm-dyno-apt.log
stamp=/var/cache/llm-dyno/apt-updated
keep=APT::Get::Remove=${DYNO_APT_REMOVE:-false}
export DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none NEEDRESTART_SUSPEND=1 LC_ALL=C
umask 022

holders() {
  lslocks -rno PID,COMMAND,PATH 2>/dev/null | while read -r pid name path; do
    case $path in
      /var/lib/dpkg/lock*|/var/lib/apt/lists/lock|/var/lib/apt/daily_lock|\
      /var/cache/apt/archives/lock|/run/unattended-upgrades.lock) echo "$name (process $pid)" ;;
    esac
  done | sort -u | head -n 1
}

# In seconds that setting the clock does not change: a fresh machine does that just now.
now() { read -r up _ </proc/uptime && echo "${up%.*}"; }
deadline=$(($(now) + ${DYNO_APT_WAIT_S:-1800}))

wait_for() {
  if [ "$(now)" -ge "$deadline" ]; then echo "kept busy by $1" >&2; exit 75; fi
  [ $((waited % 10)) != 0 ] || echo "dyno: waiting for $1, which holds apt's lock"
  sleep 1
  waited=$((waited + 1))
}

wait_free() {
  waited=0
  while who=$(holders); [ -n "$who" ]; do wait_for "$who"; done
}

run() {
  (while sleep 10 >/dev/null 2>&1; do
    echo "dyno: $(tail -n 1 "$log" | tr '\r' '\n' | tail -n 1 | cut -c 1-120)"
  done) &
  ticker=$!
  "$@" >"$log" 2>&1 </dev/null
  code=$?
  kill $ticker 2>/dev/null
  return $code
}

apt() {
  run apt-get -q -o "$keep" -o DPkg::Lock::Timeout=60 -o Acquire::Retries=3 \
    -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o Dpkg::Use-Pty=0 \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

update() {
  echo "dyno: updating the lists of packages"
  updated=yes
  mkdir -p "${stamp%/*}" && touch "$stamp.new"
  # Archives that do not answer are warned of only: they may be of no use to us.
  waited=0
  # Apt itself does not wait for the lock of its lists.
  until apt update && mv "$stamp.new" "$stamp"; do
    locked || break
    wait_for "$(holder)"
  done
  grep -E '^(E|W|Err):' "$log" >&2
}

fresh() {
  [ -n "$(find "$stamp" -mtime -1 2>/dev/null)" ] || return
  [ -z "$(find /etc/apt/sources.list* /etc/apt/keyrings -newer "$stamp" 2>/dev/null)" ] || return
  for name in "$@"; do apt-cache show "${name%%=*}" >/dev/null 2>&1 || return; done
}

locked() { grep -qE '^E: (Could not get lock|Unable to (lock|acquire))' "$log"; }

holder() {
  who=$(holders)
  [ -n "$who" ] ||
    who=$(sed -n 's/.*held by process \([0-9]*\) (\(.*\)).*/\2 (process \1)/p' "$log" | head -n 1)
  echo "${who:-another program}"
}

updated=no
wait_free
if [ -n "$(ls -A /var/lib/dpkg/updates 2>/dev/null)" ] || [ -n "$(dpkg --audit 2>/dev/null)" ]; then
  echo "dyno: repairing an installation that was interrupted"
  run dpkg --force-confdef --force-confold --configure -a || apt -y --fix-broken install
fi
fresh "$@" $DYNO_APT_ALSO || update
for name in $DYNO_APT_ALSO; do
  if apt-cache show "$name" >/dev/null 2>&1; then set -- "$@" "$name"
  else echo "dyno: there is no package $name; going on without it"; fi
done
[ $# != 0 ] || exit 0
tries=0
waited=0
until apt -y --no-install-recommends --allow-downgrades install -- "$@"; do
  if locked; then wait_for "$(holder)" && continue; fi
  tries=$((tries + 1))
  if [ $tries = 1 ] && grep -q -- --fix-broken "$log"; then apt -y --fix-broken install
  elif [ $updated = no ]; then update
  else
    sed -nE '/REMOV(ED|ING):$/,/^[^ ]/p' "$log" >&2
    tail -n 40 "$log" >&2
    exit 100
  fi
done
