package main

import (
	"bytes"
	"os"
	"testing"
)

// TestDashboardIsFresh: the file that people import is what the program writes.
func TestDashboardIsFresh(t *testing.T) {
	want, err := render()
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("hypervisord.json")
	if err != nil || !bytes.Equal(have, want) {
		t.Errorf("hypervisord.json is not what this program writes (%v): go run ./deploy/grafana > deploy/grafana/hypervisord.json", err)
	}
}
