# The rounds of hotplug.sh, 50 times.
export ROUNDS=50
. /project/tests/host/hotplug.sh
