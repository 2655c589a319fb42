# Guests that flood and readers that do not read: in each case SIGTERM ends the machine soon.
. /project/tests/host/lib.sh
kvm_ready
bash /project/tests/hostile "$(command -v minivmm)" || failed=1
done_testing
