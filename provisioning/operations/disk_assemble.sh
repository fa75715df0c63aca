# Puts the array $1 of the devices that follow together, unless that was done meanwhile (by udev,
# say). Run as root, with all of them locked (disk_locked.sh).
array=$1
shift
for disk; do
  [ -z "$(lsblk -nrpo KNAME "$disk" 2>/dev/null | sed 1d)" ] || exit 0
done
mdadm --assemble "$array" "$@"
