//go:build !race

package sandbox

const unlimited = false
