package sandbox

// Unlimited: the memory of a process is not limited.
const Unlimited = unlimited
