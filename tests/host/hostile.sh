# Guests that flood, and readers that do not read. In each case SIGTERM must end the machine soon.
. /project/tests/host/lib.sh
kvm_ready
echo core >/proc/sys/kernel/core_pattern
bash /project/tests/hostile "$(command -v minivmm)" || failed=1
done_testing
