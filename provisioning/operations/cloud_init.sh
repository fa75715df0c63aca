# Waits for what cloud-init does at a first boot; "dyno: ..." lines are for whoever waits. Some of it
# never ends (a server in `runcmd`): after ten minutes we go on, and apt's locks have to do.
tries=${DYNO_CLOUD_INIT_TRIES:-60}
while [ "$tries" -gt 0 ]; do
  echo "dyno: waiting for cloud-init, which is still setting this machine up"
  timeout 10 cloud-init status --wait >/dev/null 2>&1 </dev/null
  [ $? = 124 ] || exit 0
  tries=$((tries - 1))
done
echo "dyno: cloud-init does not come to its end; going on without it"
