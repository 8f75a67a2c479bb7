package board

import (
	"fmt"
	"os"
	"path/filepath"
)

const (
	ovmfCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	ovmfVars = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

// ovmf is a PC with UEFI and megabytes of memory.
func ovmf(dir string, megabytes int) []string {
	return []string{"-M", "q35", "-cpu", "qemu64", "-m", fmt.Sprint(megabytes),
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + ovmfCode,
		"-drive", "if=pflash,format=raw,unit=1,snapshot=on,file=" + filepath.Join(dir, flashFile)}
}

// ovmfKept is the same with variables that stay when the machine is switched off.
func ovmfKept(dir string, megabytes int) []string {
	args := ovmf(dir, megabytes)
	args[len(args)-1] = "if=pflash,format=raw,unit=1,file=" + filepath.Join(dir, flashFile)
	return args
}

// ovmfVariables is the bank of the firmware's variables, as OVMF comes.
func ovmfVariables(Kind) ([]byte, error) {
	b, err := os.ReadFile(ovmfVars)
	if err != nil {
		return nil, fmt.Errorf("%w; run scripts/deps.sh rig", err)
	}
	return b, nil
}
