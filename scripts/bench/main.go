//go:build linux

// Command bench measures an install against the least work that any installer has to do: read,
// SHA-256, write to the slot, fsync, and read back.
//
//	go run ./scripts/bench [-runs 5] [-size 256] [-dir DIR]
//
// Every measurement is a process of its own, so that its CPU time and its peak RSS are its own. All
// of them run in turn, runs times over, so that the noise of the machine falls on all alike; the
// table shows medians and ratios within the same turns. As root the slot is a loop device with
// direct I/O; otherwise it is a regular file. Sources are warm in the page cache; HTTP is net/http
// on the loopback. The installs of Ratchet commit each checkpoint to a real journal on the same disk.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/connect"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/unpack"
)

// job is one kind of measurement.
type job struct {
	Name     string
	Ours     bool
	Overlap  bool // baseline: read and hash the next block while one is written
	Readback bool // baseline: read the slot again, past the page cache
	Zstd     bool
	HTTP     bool
	Divided  bool   // processes of their own fetch by HTTP and decode zstd, as for the daemon
	Versus   string `json:"-"` // the job that this one is held against
}

var jobs = []job{
	{Name: "plain pass"},
	{Name: "overlapped", Overlap: true, Versus: "plain pass"},
	{Name: "overlapped + read-back", Overlap: true, Readback: true, Versus: "plain pass"},
	{Name: "ratchet", Ours: true, Versus: "overlapped + read-back"},
	{Name: "http overlapped + read-back", Overlap: true, Readback: true, HTTP: true, Versus: "plain pass"},
	{Name: "http ratchet", Ours: true, HTTP: true, Versus: "http overlapped + read-back"},
	{Name: "http ratchet, divided", Ours: true, HTTP: true, Divided: true, Versus: "http ratchet"},
	{Name: "zstd overlapped + read-back", Overlap: true, Readback: true, Zstd: true, Versus: "plain pass"},
	{Name: "zstd ratchet", Ours: true, Zstd: true, Versus: "zstd overlapped + read-back"},
	{Name: "zstd ratchet, divided", Ours: true, Zstd: true, Divided: true, Versus: "zstd ratchet"},
	{Name: "http zstd overlapped + read-back",
		Overlap: true, Readback: true, Zstd: true, HTTP: true, Versus: "plain pass"},
	{Name: "http zstd ratchet", Ours: true, Zstd: true, HTTP: true, Versus: "http zstd overlapped + read-back"},
	{Name: "http zstd ratchet, divided",
		Ours: true, Zstd: true, HTTP: true, Divided: true, Versus: "http zstd ratchet"},
}

// order is what a measuring process is told.
type order struct {
	job
	Source  string // path or URL
	Slot    string
	Journal string
	Size    int64 // of the image
	Payload int64 // of what is fetched
	Digest  []byte
	PSS     bool // watch the memory instead of the time
}

// sample is what came of it.
type sample struct {
	Wall float64 // seconds, of the work
	CPU  float64 // seconds, user and system, of the process
	RSS  int64   // KiB, peak
	PSS  int64   // KiB, peak of all processes together, if it was watched
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "unpack" {
		check(unpack.Process(os.Stdin, os.Stdout, os.Args[2:]))
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "net" {
		check(connect.Process(context.Background()))
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "measure" {
		check(measure(os.Args[2]))
		return
	}
	runs := flag.Int("runs", 5, "measurements of each kind")
	size := flag.Int64("size", 256, "image size in MiB")
	dir := flag.String("dir", "",
		"work folder on the disk to measure; default: a new one in the system's temporary folder")
	only := flag.String("only", "", "measure only kinds whose name contains this")
	flag.Parse()
	if flag.NArg() > 0 || *runs < 1 || *size < 1 {
		flag.Usage()
		os.Exit(2)
	}
	check(run(*runs, *size<<20, *dir, *only))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(runs int, size int64, dir, only string) (err error) {
	dir, err = os.MkdirTemp(dir, "ratchet-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	img, err := makeImages(dir, size)
	if err != nil {
		return err
	}
	slot, free, err := makeSlot(filepath.Join(dir, "slot"), size)
	if err != nil {
		return err
	}
	defer free()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go http.Serve(l, http.FileServer(http.Dir(dir)))

	samples, memory := map[string][]sample{}, map[string]int64{}
	for turn := range runs + 1 { // in the last one the memory is watched, which takes time
		for _, j := range jobs {
			if !strings.Contains(j.Name, only) {
				continue
			}
			o := order{job: j, Slot: slot, Journal: filepath.Join(dir, "journal"), Size: size, Payload: size,
				Digest: img.digest, PSS: turn == runs}
			name := "image"
			if j.Zstd {
				name, o.Payload = "image.zst", img.packed
			}
			if o.Source = filepath.Join(dir, name); j.HTTP {
				o.Source = "http://" + l.Addr().String() + "/" + name
			}
			s, err := spawn(o)
			if err != nil {
				return fmt.Errorf("%s: %w", j.Name, err)
			}
			if o.PSS {
				memory[j.Name] = s.PSS
				continue
			}
			samples[j.Name] = append(samples[j.Name], s)
		}
	}
	fmt.Printf("Image %d MiB, zstd %.1f MiB; slot %s; %d runs, medians.\n\n",
		size>>20, float64(img.packed)/(1<<20), filepath.Base(slot), runs)
	table(samples, memory)
	return nil
}

// spawn measures in a process of its own.
func spawn(o order) (sample, error) {
	arg, err := json.Marshal(o)
	if err != nil {
		return sample{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return sample{}, err
	}
	if err := os.RemoveAll(o.Journal); err != nil {
		return sample{}, err
	}
	cmd := exec.Command(self, "measure", string(arg))
	cmd.Stderr = os.Stderr
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return sample{}, err
	}
	var s sample
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		return sample{}, err
	}
	s.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return s, nil
}

func table(samples map[string][]sample, memory map[string]int64) {
	median := func(name string, of func(sample) float64) float64 {
		var v []float64
		for _, s := range samples[name] {
			v = append(v, of(s))
		}
		if len(v) == 0 {
			return 0
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	// ratio is the median of the ratios within the same turn: the machine's mood cancels out.
	ratio := func(name, versus string, of func(sample) float64) string {
		var v []float64
		for i, s := range samples[name] {
			if i < len(samples[versus]) {
				v = append(v, of(s)/of(samples[versus][i]))
			}
		}
		if len(v) == 0 {
			return ""
		}
		slices.Sort(v)
		return fmt.Sprintf("%.2f", v[len(v)/2])
	}
	wall := func(s sample) float64 { return s.Wall }
	cpu := func(s sample) float64 { return s.CPU }
	fmt.Println("| install | wall s | x plain | cpu s | x plain | held against | wall x | cpu x | peak RSS MiB " +
		"| PSS of all |")
	fmt.Println("|---|--:|--:|--:|--:|---|--:|--:|--:|--:|")
	for _, j := range jobs {
		if len(samples[j.Name]) == 0 {
			continue
		}
		var rss int64
		for _, s := range samples[j.Name] {
			rss = max(rss, s.RSS)
		}
		versus := ""
		if j.Ours {
			versus = j.Versus
		}
		fmt.Printf("| %s | %.3f | %s | %.3f | %s | %s | %s | %s | %.1f | %.1f |\n",
			j.Name, median(j.Name, wall), ratio(j.Name, "plain pass", wall),
			median(j.Name, cpu), ratio(j.Name, "plain pass", cpu),
			versus, ratio(j.Name, versus, wall), ratio(j.Name, versus, cpu), float64(rss)/1024,
			float64(memory[j.Name])/1024)
	}
	fmt.Println("\nWall and CPU are medians; ratios are medians over the turns; RSS is the highest, of the first " +
		"process; PSS is of all processes in a turn of its own. CPU is the " +
		"process's, not the kernel's loop and flush threads'.")
	fmt.Println(time.Now().UTC().Format("2006-01-02"), kernel())
}

func kernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return "Linux " + strings.TrimSpace(string(b))
}
