package main

import "time"

func reportPage(o *rigFlags, runs []*rig, took time.Duration, now time.Time) ([]byte, error) {
	return nil, nil
}
