# The rounds of hotplug.sh and of hotplug-vfio.sh, 50 times each.
export ROUNDS=50
status=0
for script in hotplug hotplug-vfio; do bash /project/tests/host/$script.sh || status=1; done
exit $status
