package daemon

import (
	"fmt"
	"os"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/sink/s3"
	"github.com/hypersdk/hypersdk/internal/step/hyper2kvm"
)

// S3Config is the object store of the steps that upload. Without key files the
// keys are those of the environment (AWS_ACCESS_KEY_ID, …) or of the instance's
// role.
type S3Config struct {
	Endpoint      string `yaml:"endpoint"` // https://HOST:PORT; empty: AWS
	Region        string `yaml:"region"`
	AccessKeyFile string `yaml:"access_key_file"`
	SecretKeyFile string `yaml:"secret_key_file"`
	PathStyle     bool   `yaml:"path_style"` // https://HOST/BUCKET
	CAFile        string `yaml:"ca_file"`
	// Roots are the places below which a job may upload; none: no job may.
	Roots []string `yaml:"roots"`
}

// open makes the store, nil if there is none. Kind Invalid.
func (c *S3Config) open() (*s3.Store, error) {
	if len(c.Roots) == 0 {
		return nil, nil //nolint:nilnil // documented
	}
	if (c.AccessKeyFile == "") != (c.SecretKeyFile == "") {
		return nil, fault.New(fault.Invalid, "HX-CONF-011", "s3.access_key_file and s3.secret_key_file go together", "set both, or none")
	}
	access, err := readKey(c.AccessKeyFile)
	if err != nil {
		return nil, err
	}
	private, err := readKey(c.SecretKeyFile)
	if err != nil {
		return nil, err
	}
	return s3.New(s3.Config{
		Endpoint: c.Endpoint, Region: c.Region, AccessKey: access, SecretKey: secret.New(private),
		PathStyle: c.PathStyle, CAFile: c.CAFile, Roots: c.Roots,
	})
}

func readKey(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), fault.Wrap(err, fault.Invalid, "HX-CONF-012", "a key file of s3 cannot be read", "check the path and the file's permissions")
}

// Hyper2kvmConfig says what the steps of the type hyper2kvm run.
type Hyper2kvmConfig struct {
	Engine      string `yaml:"engine"`        // hyper2kvm (default), virt-v2v, builtin
	Path        string `yaml:"path"`          // of hyper2kvm; empty: looked for in PATH
	VirtV2VPath string `yaml:"virt_v2v_path"` // the same for virt-v2v
}

func (c *Hyper2kvmConfig) check() []string {
	switch c.Engine {
	case "", hyper2kvm.EngineHyper2kvm, hyper2kvm.EngineVirtV2V, hyper2kvm.EngineBuiltin:
		return nil
	}
	return []string{fmt.Sprintf("hyper2kvm.engine: %q is not one of hyper2kvm, virt-v2v, builtin", c.Engine)}
}
