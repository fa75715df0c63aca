# Gives the device $1 a file system $2, if it is blank. Run as root, after why_not_blank.
# The lock is the one that udev keeps away for; the makers of file systems open it exclusively.
exec 8<"$1" || exit
flock -n 8 || { echo "refused: Somebody is working on $1. | Try again."; exit 65; }
why=$(why_not_blank "$1")
if [ -n "$why" ]; then
  echo "refused: The disk $1 $why; it was not touched, for only a blank disk is formatted. |\
 Choose another disk, or empty it yourself if nothing on it is needed."
  exit 65
fi
echo "dyno: formatting $1 as $2"
case $2 in
  ext4) mkfs.ext4 -q -m 0 -L llm-dyno "$1" ;;
  xfs) mkfs.xfs -q -L llm-dyno "$1" ;;
  *) exit 64 ;;
esac || exit
exec 8<&-
! command -v udevadm >/dev/null || udevadm settle --timeout=10 || :
