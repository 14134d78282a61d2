package grpc

import (
	"connectrpc.com/grpcreflect/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// routeReflection lets tools such as grpcurl find out what there is. It tells what
// the proto files tell, and nothing else that the program holds.
func (d *Door) routeReflection() {
	files := &protoregistry.Files{}
	for _, f := range []protoreflect.FileDescriptor{schema.ParentFile(), healthFile, errdetails.File_google_rpc_error_details_proto} {
		publish(files, f)
	}
	grpcreflect.Register(d.server, grpcreflect.WithDescriptorResolver(files), grpcreflect.WithExtensionResolver(&protoregistry.Types{}),
		grpcreflect.WithNamer(grpcreflect.NamerFunc(func() []string { return []string{string(schema.FullName()), healthService} })))
}

// publish adds a file and all that it imports.
func publish(files *protoregistry.Files, f protoreflect.FileDescriptor) {
	if _, err := files.FindFileByPath(f.Path()); err == nil {
		return
	}
	for i := range f.Imports().Len() {
		publish(files, f.Imports().Get(i).FileDescriptor)
	}
	_ = files.RegisterFile(f) // the files are compiled in, and no two of them have the same names
}
