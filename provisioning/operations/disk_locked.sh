# Runs the script $1 for the array $2 of the devices that follow, all of which are locked meanwhile:
# no second one of us, nor who formats one of them, is at work on them then. Run as root.
script=$1 array=$2
shift 2
devices=$*
for device; do
  [ -e "$device" ] || { echo "refused: There is no $device any more. | Try again."; exit 65; }
done
set -- sh -c "$script" sh "$array" "$@"
for device in $devices; do
  set -- flock -n -E 75 "$device" "$@"
done
"$@"
code=$?
if [ $code = 75 ]; then
  echo "refused: Somebody is working on one of the disks $devices. | Try again."
  exit 65
fi
[ $code = 0 ] || exit $code
# udev keeps away from what is locked: it looks at them now.
! command -v udevadm >/dev/null || udevadm settle --timeout=10 || :
