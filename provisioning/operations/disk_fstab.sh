# Adds a line to /etc/fstab: the file system on $1 at $2, marked with the option $3. Run as root.
# A line of ours for that folder or file system goes; all others stay as they are.
uuid=$(blkid -p -s UUID -o value "$1")
type=$(blkid -p -s TYPE -o value "$1")
if [ -z "$uuid" ] || [ -z "$type" ]; then
  echo "refused: There is no file system on $1. | Try again."
  exit 65
fi
case $type in ext4) check=2 ;; *) check=0 ;; esac
touch /etc/fstab && new=$(mktemp /etc/fstab.XXXXXX) || exit
trap 'rm -f "$new"' EXIT
cp -p /etc/fstab "$new" || exit
AT=$2 SOURCE=UUID=$uuid OPTION=,$3, LC_ALL=C awk '
  ($1 == ENVIRON["SOURCE"] || $2 == ENVIRON["AT"]) && index("," $4 ",", ENVIRON["OPTION"]) { next }
  { print }' /etc/fstab >"$new" || exit
echo "UUID=$uuid $2 $type noatime,nofail,x-systemd.device-timeout=30s,$3 0 $check" >>"$new" || exit
sync "$new" && mv -f "$new" /etc/fstab || exit
# systemd makes its mount units from the file; without this it may unmount what it does not know
[ ! -d /run/systemd/system ] || systemctl daemon-reload
