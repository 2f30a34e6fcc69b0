// cri-pull asks a container runtime for an image through the CRI, as the kubelet does.
//
//	cri-pull unix:///run/containerd/containerd.sock registry.example/app:1 <LOGIN
//
// LOGIN is one line, NAME:PASSWORD, or nothing. It prints the runtime's reference to the image. Exit code 1: the
// runtime did not pull it, and says why; 2: wrong use; 3: there is no CRI at that endpoint.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func fail(code int, what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(code)
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: cri-pull ENDPOINT IMAGE <LOGIN")
		os.Exit(2)
	}
	endpoint, image := os.Args[1], os.Args[2]
	given, err := io.ReadAll(os.Stdin)
	if err != nil {
		fail(2, "standard input", err)
	}
	var login *cri.AuthConfig
	if text := strings.TrimRight(string(given), "\n"); text != "" {
		name, password, found := strings.Cut(text, ":")
		if !found {
			fail(2, "standard input", fmt.Errorf("not NAME:PASSWORD"))
		}
		login = &cri.AuthConfig{Username: name, Password: password}
	}

	connection, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fail(3, endpoint, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if _, err = cri.NewRuntimeServiceClient(connection).Version(ctx, &cri.VersionRequest{}); err != nil {
		fail(3, endpoint, err)
	}
	pulled, err := cri.NewImageServiceClient(connection).PullImage(ctx, &cri.PullImageRequest{
		Image: &cri.ImageSpec{Image: image},
		Auth:  login,
	})
	if err != nil {
		fail(1, image, err)
	}
	fmt.Println(pulled.ImageRef)
}
