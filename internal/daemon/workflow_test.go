package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/secret"
)

// plant is a whole daemon on a simulated vCenter, with a real S3 server and a
// receiver of webhooks.
type plant struct {
	t       *testing.T
	sim     *vcsim.Server
	cfg     Config
	client  *client.Client
	objects string // directory of the bucket "backups"
	hooks   *httptest.Server
	stop    func()

	mu     sync.Mutex
	posted []string
	answer int // of the receiver; 0: 200
}

// small is a machine that is quick to hash under the race detector.
var small = []vcsim.VM{{Path: "web-01", On: true, Disks: []vcsim.Disk{
	{Size: 24 << 20, Fill: halfNoise},
}}}

// halfNoise fills the first half of a disk with what no codec makes smaller.
func halfNoise(w io.WriterAt, size int64) (string, error) {
	r := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, 1<<20)
	for off := int64(0); off < size/2; off += int64(len(buf)) {
		_, _ = r.Read(buf)
		if _, err := w.WriteAt(buf, off); err != nil {
			return "", err
		}
	}
	return "", nil
}

func newPlant(t *testing.T, o vcsim.Options, edit func(*Config)) *plant {
	t.Helper()
	sim, err := vcsim.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p := &plant{t: t, sim: sim, cfg: DefaultConfig()}
	t.Cleanup(func() {
		if left := sim.Leftovers(); len(left) > 0 {
			t.Errorf("left on vCenter: %v", left)
		}
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	p.hooks = httptest.NewServer(http.HandlerFunc(p.receive))
	t.Cleanup(p.hooks.Close)
	endpoint := p.gateway()
	keys := t.TempDir()
	p.cfg.Listen, p.cfg.StateDir, p.cfg.Workers, p.cfg.Auth.Disabled = "127.0.0.1:0", t.TempDir(), 2, true
	p.cfg.Output.Roots = []string{t.TempDir()}
	p.cfg.VSphere = VSphereConfig{URL: sim.URL().String(), Username: sim.Username(), Password: secret.New(sim.Password()), Thumbprint: sim.Thumbprint()}
	p.cfg.S3 = S3Config{Endpoint: endpoint, Region: "us-east-1", PathStyle: true, Roots: []string{"s3://backups"},
		AccessKeyFile: put(t, keys, "access", "key\n"), SecretKeyFile: put(t, keys, "secret", "secret\n")}
	p.cfg.Webhooks.AllowPrivate = []string{"127.0.0.0/8"}
	p.cfg.Hyper2kvm.Engine = "builtin"
	if edit != nil {
		edit(&p.cfg)
	}
	p.start()
	t.Cleanup(func() { p.stop() })
	return p
}

func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// gateway starts versitygw and returns its URL.
func (p *plant) gateway() string {
	p.t.Helper()
	bin, err := exec.LookPath("versitygw")
	if err != nil {
		p.t.Fatal("versitygw is missing: make .cache/tools/versitygw, and put that directory into PATH")
	}
	root := p.t.TempDir()
	p.objects = filepath.Join(root, "backups")
	if err := os.Mkdir(p.objects, 0o755); err != nil {
		p.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(bin, "--access", "key", "--secret", "secret", "--port", addr, "--quiet", "posix", root)
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	p.eventually("the S3 server listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return "http://" + addr
}

func (p *plant) receive(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.posted = append(p.posted, r.URL.Path+" "+string(body))
	if p.answer != 0 {
		w.WriteHeader(p.answer)
	}
}

func (p *plant) messages() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.posted)
}

// start runs the daemon; p.stop ends it as SIGTERM does.
func (p *plant) start() {
	p.t.Helper()
	log := slog.New(slog.NewTextHandler(testWriter{p.t}, nil))
	ctx, cancel := context.WithCancel(context.Background())
	d, err := New(ctx, p.cfg, log)
	if err != nil {
		cancel()
		p.t.Fatal(err)
	}
	if p.client, err = client.New(d.URL(), client.Options{}); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	})
}

func (p *plant) submit(text string) string {
	p.t.Helper()
	s, err := p.client.SubmitFile(p.t.Context(), []byte(text), "application/yaml")
	if err != nil {
		p.t.Fatal(err)
	}
	return s.JobIDs[0]
}

func (p *plant) get(id string) client.Job {
	p.t.Helper()
	j, err := p.client.Get(p.t.Context(), id)
	if err != nil {
		p.t.Fatal(err)
	}
	return j
}

func (p *plant) end(id string) client.Job {
	p.t.Helper()
	p.eventually("the job ends", func() bool { return p.get(id).Status.Final() })
	return p.get(id)
}

// completed runs a workflow and wants it to succeed.
func (p *plant) completed(text string) client.Job {
	p.t.Helper()
	j := p.end(p.submit(text))
	if j.Status != client.Completed {
		p.t.Fatalf("%s: %+v\n%+v", j.Status, j.Error, j.Steps)
	}
	return j
}

func (p *plant) eventually(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatal("never: " + what)
		}
	}
}

func stepOf(j client.Job, id string) client.StepState {
	for _, s := range j.Steps {
		if s.ID == id {
			return s
		}
	}
	return client.StepState{}
}

// TestTheRoadmapsWorkflowRuns: as it stands, hosts apart, through the API.
func TestTheRoadmapsWorkflowRuns(t *testing.T) {
	o := vcsim.Options{}
	if testing.Short() {
		o.VMs = small
	}
	p := newPlant(t, o, nil)
	text, err := os.ReadFile("../../examples/workflow.yaml")
	if err != nil {
		t.Fatal(err)
	}
	j := p.completed(strings.Replace(string(text), "https://hooks.slack.com/...", p.hooks.URL+"/T0/secret", 1))
	for _, s := range j.Steps {
		if s.Status != "completed" || s.Attempt != 1 || s.StartedAt == nil || s.FinishedAt == nil {
			t.Errorf("%+v", s)
		}
	}
	source := filepath.Join(t.TempDir(), "source.raw")
	content, err := p.sim.Disk("/DC/vm/web-01", 2000)
	if err != nil {
		t.Fatal(err)
	}
	if err := content.WriteFile(source); err != nil {
		t.Fatal(err)
	}
	stored := filepath.Join(p.objects, "web-01")
	run(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", source, filepath.Join(stored, "web-01-disk1.qcow2"))
	rep, err := artifact.Verify(t.Context(), stored, nil, nil)
	if err != nil || !rep.OK() {
		t.Fatalf("what was uploaded does not verify: %+v %v", rep, err)
	}
	before, err := artifact.Verify(t.Context(), filepath.Dir(stepOf(j, "export").Artifacts[0].Path), nil, nil)
	if err != nil || before.Disks[0].Root != rep.Disks[0].Root {
		t.Fatal("the roots differ", err)
	}
	posted := p.messages()
	if len(posted) != 1 || !strings.HasPrefix(posted[0], "/T0/secret ") || !strings.Contains(posted[0], `"message":"Backup completed: web-01"`) {
		t.Fatal(posted)
	}
	if shown, err := json.Marshal(j); err != nil || bytes.Contains(shown, []byte("T0/secret")) {
		t.Fatal("the answer shows the webhook's URL", err)
	}
	var kinds []string
	for u, err := range p.client.Events(t.Context(), j.ID, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if u.Event != nil && u.Event.Data.Step != "" {
			kinds = append(kinds, u.Event.Kind+" "+u.Event.Data.Step)
		}
	}
	if want := "step.started export,step.completed export,step.started convert,step.completed convert,step.started upload,step.completed upload,step.started notify,step.completed notify"; strings.Join(kinds, ",") != want {
		t.Errorf("%q", kinds)
	}
}

const everyKind = `
name: everything
jobs:
  - {id: e, type: export, vm_path: /DC/vm/web-01, format: vmdk, output_path: in}
  - {id: c, type: convert, depends_on: e, input: $e.output, target_format: raw, name: converted}
  - {id: v, type: verify, depends_on: c, input: $c.output}
  - {id: u, type: upload, depends_on: [v], input: $c.output, destination: "file://ROOT/copies/web-01"}
  - {id: w, type: verify, depends_on: u, input: $u.output}
  - {id: never, type: webhook, depends_on: w, when: failure, url: "HOOK/never"}
finally:
  - {id: f, type: webhook, input: $u.output, url: "HOOK/finally"}
`

func (p *plant) workflow() string {
	return strings.NewReplacer("ROOT", p.cfg.Output.Roots[0], "HOOK", p.hooks.URL).Replace(everyKind)
}

// TestAWorkflowSurvivesRestarts stops the daemon at each border of steps, and in
// the middle of some; nothing is done twice and nothing is left.
func TestAWorkflowSurvivesRestarts(t *testing.T) {
	p := newPlant(t, vcsim.Options{VMs: small}, nil)
	id := p.submit(p.workflow())
	for _, at := range []string{"e", "c", "v", "u", "w"} {
		p.eventually(at+" has begun", func() bool { s := stepOf(p.get(id), at); return s.Attempt > 0 || p.get(id).Status.Final() })
		p.stop()
		p.start()
	}
	j := p.end(id)
	if j.Status != client.Completed || j.Attempt != 1 {
		t.Fatalf("%s after %d attempts: %+v", j.Status, j.Attempt, j.Error)
	}
	for _, s := range j.Steps {
		if want := map[bool]string{true: "skipped", false: "completed"}[s.ID == "never"]; s.Status != want || s.Attempt > 1 {
			t.Errorf("%+v", s)
		}
	}
	for _, dir := range []string{"in/web-01", "in/converted", "copies/web-01"} {
		if rep, err := artifact.Verify(t.Context(), filepath.Join(p.cfg.Output.Roots[0], dir), nil, nil); err != nil || !rep.OK() {
			t.Errorf("%s: %+v %v", dir, rep, err)
		}
	}
	if posted := p.messages(); len(posted) == 0 || strings.Contains(strings.Join(posted, ""), "/never") {
		t.Error(posted)
	}
	p.clean()
}

// clean wants nothing half-made below the root and in the object store.
func (p *plant) clean() {
	p.t.Helper()
	for _, root := range append(slices.Clone(p.cfg.Output.Roots), filepath.Join(p.cfg.StateDir, "work")) {
		err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			if strings.HasSuffix(path, ".partial") || path != root && strings.HasSuffix(root, "work") {
				p.t.Errorf("left: %s", path)
			}
			return err
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			p.t.Fatal(err)
		}
	}
}

// TestACancelDuringAnUploadLeavesNothing: no multipart upload, no object.
func TestACancelDuringAnUploadLeavesNothing(t *testing.T) {
	vms := slices.Clone(small)
	vms[0].Disks = []vcsim.Disk{{Size: 192 << 20, Fill: halfNoise}}
	p := newPlant(t, vcsim.Options{VMs: vms}, nil)
	id := p.submit(`
jobs:
  - {id: e, type: export, vm_path: /DC/vm/web-01, format: raw, verify: none}
  - {id: u, type: upload, depends_on: e, input: $e.output, destination: s3://backups/x}
finally:
  - {id: f, type: webhook, url: "` + p.hooks.URL + `/finally"}
`)
	uploads := filepath.Join(p.objects, ".sgwtmp", "multipart")
	p.eventually("a multipart upload is there", func() bool {
		entries, err := os.ReadDir(uploads)
		return err == nil && len(entries) > 0
	})
	if _, err := p.client.Cancel(t.Context(), id, "enough"); err != nil {
		t.Fatal(err)
	}
	j := p.end(id)
	if j.Status != client.Cancelled || stepOf(j, "u").Status != "cancelled" || stepOf(j, "f").Status != "completed" {
		t.Fatalf("%s %+v", j.Status, j.Steps)
	}
	if entries, err := os.ReadDir(uploads); err == nil && len(entries) > 0 {
		t.Errorf("a multipart upload is left: %v", entries)
	}
	if entries, err := os.ReadDir(filepath.Join(p.objects, "x")); err == nil && len(entries) > 0 {
		t.Errorf("objects are left: %v", entries)
	}
	p.clean()
}

// TestVerifyFindsDamage: one byte of a published export is changed between its
// export and its verification.
func TestVerifyFindsDamage(t *testing.T) {
	p := newPlant(t, vcsim.Options{VMs: small}, nil)
	hold := make(chan struct{})
	gate := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer gate.Close()
	id := p.submit(`
jobs:
  - {id: e, type: export, vm_path: /DC/vm/web-01, format: raw}
  - {id: gate, type: webhook, depends_on: e, url: "` + gate.URL + `"}
  - {id: v, type: verify, depends_on: gate, input: $e.output}
  - {id: c, type: convert, depends_on: gate, input: $e.output, target_format: qcow2}
  - {id: alarm, type: webhook, depends_on: [v, c], when: failure, url: "` + p.hooks.URL + `/alarm", message: damaged}
`)
	p.eventually("the export is published", func() bool { return stepOf(p.get(id), "gate").Attempt > 0 })
	f, err := os.OpenFile(stepOf(p.get(id), "e").Artifacts[0].Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], 5<<20); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], 5<<20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	close(hold)
	j := p.end(id)
	if v := stepOf(j, "v"); v.Status != "failed" || v.Error.Code != "HX-VERIFY-031" || !strings.Contains(v.Error.Message, "at offset") {
		t.Errorf("%+v", v)
	}
	if c := stepOf(j, "c"); c.Status != "failed" || c.Error.Code != "HX-CONVERT-001" {
		t.Errorf("%+v", c)
	}
	if j.Status != client.Failed || stepOf(j, "alarm").Status != "completed" {
		t.Errorf("%s %+v", j.Status, j.Steps)
	}
	p.clean()
}
