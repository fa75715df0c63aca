# Mounts the device $1 at the folder $2, which must be empty. Run as root.
mkdir -p "$2" || exit
if mountpoint -q "$2"; then
  echo "refused: Something was mounted at $2 meanwhile. | Try again."
  exit 65
fi
if [ -n "$(ls -A "$2")" ]; then
  echo "refused: The data disk cannot be mounted at $2, which holds files. | Move them away."
  exit 65
fi
mount -o noatime "$1" "$2"
