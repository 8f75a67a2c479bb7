//go:build !race

package unpack

// most is where the process ends, in bytes. The runtime of Go takes 64 MiB at once on processors of 64 bits.
const most = 256 << 20
