package grpc

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// The generated code is that of the proto files. The compiler is another than the
// one that generated it.
func TestGeneratedCodeIsUpToDate(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "..", "api", "proto")
	var names []string
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".proto") {
			names = append(names, path)
		}
		return err
	})
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}})}
	files, err := c.Compile(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range files {
		got, err := protoregistry.GlobalFiles.FindFileByPath(want.Path())
		if err != nil {
			t.Errorf("%s: %v: run make proto", want.Path(), err)
			continue
		}
		if !proto.Equal(protodesc.ToFileDescriptorProto(got), protodesc.ToFileDescriptorProto(want)) {
			t.Errorf("the code of %s is not what the file says: run make proto", want.Path())
		}
	}
}
