# The rounds of hotplug-vfio.sh, 50 times.
export ROUNDS=50
. /project/tests/host/hotplug-vfio.sh
