//go:build tools

// Package tools pins the Pulumi engine that `make setup` builds where no
// binary can be had.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
