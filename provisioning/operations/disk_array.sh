# Makes the array $1 of the devices that follow, if all are blank. Run as root, after why_not_blank,
# and with all of them locked (disk_locked.sh).
array=$1
shift
for disk; do
  why=$(why_not_blank "$disk")
  [ -z "$why" ] || {
    echo "refused: The disk $disk $why; no disk was touched, for only blank ones are joined. |\
 Empty it yourself if nothing on it is needed."
    exit 65
  }
done
mdadm --create "$array" --run --level=0 --raid-devices=$# --metadata=1.2 "$@"
