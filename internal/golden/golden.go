// Package golden reads the cases by which rules and policies are proved: whole objects,
// judged as admission would judge them, with the findings that are to come of it.
//
// A case is a txtar archive named after its rule or policy:
//
//	-- config.yaml --          configuration, with a policy's parameters; defaults without it
//	-- request.yaml --         user, groups and time of the writes; optional
//	-- world.yaml --           objects that are there already; optional
//	-- bad-something.yaml --   in each of its objects something must be found
//	-- good-something.yaml --  in none of its objects may anything be
//	-- want --                 the findings, written by -update, or --update
//
// Any other section is an error. Each object of a bad or good file is judged by itself,
// as a write into the world: as an UPDATE where the world has it already, as a CREATE
// otherwise. In a file whose name contains "-delete" it is a DELETE, and in one whose
// name contains "-update" the objects are pairs: before and after. What the name has
// between an "@" and ".yaml" is the user, who is nobody where that is empty, as for an
// object that is read from a file.
package golden

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// Case is an archive that has been read.
type Case struct {
	Config *config.Config
	World  *mesh.Mesh
	Files  []File // bad and good ones, in the order of the archive; at least one of each

	request rules.Request
	stored  map[mesh.Ref][]byte // the JSON of the world's objects
}

// File is a file of bad or of good objects.
type File struct {
	Name   string
	Bad    bool
	Writes []review.Write
}

var judged = regexp.MustCompile(`^(bad|good)([-@].*)?\.yaml$`)

// Parse reads an archive. What no file of it says of the requests is that of the
// given one.
func Parse(a *txtar.Archive, request rules.Request) (*Case, error) {
	c := &Case{Config: config.Default(), request: request, stored: map[mesh.Ref][]byte{}}
	var world []mesh.Object
	for _, f := range a.Files {
		var err error
		switch {
		case f.Name == "config.yaml":
			c.Config, err = config.Parse(f.Name, f.Data)
		case f.Name == "request.yaml":
			err = c.readRequest(f.Data)
		case f.Name == "world.yaml":
			world, err = c.readWorld(f.Data)
		case f.Name != "want" && !judged.MatchString(f.Name):
			err = errors.New("a case has config.yaml, request.yaml, world.yaml, bad-*.yaml, good-*.yaml and want")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	c.World = mesh.New(c.Config.Settings(), world...)
	seen := map[bool]bool{}
	for _, f := range a.Files {
		if !judged.MatchString(f.Name) {
			continue
		}
		writes, err := c.writes(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		bad := strings.HasPrefix(f.Name, "bad")
		seen[bad] = seen[bad] || len(writes) > 0
		c.Files = append(c.Files, File{Name: f.Name, Bad: bad, Writes: writes})
	}
	if !seen[true] || !seen[false] {
		return nil, errors.New("a case needs at least one bad-*.yaml and one good-*.yaml, each with an object")
	}
	return c, nil
}

// Want is the archive's want section, appended where it has none.
func Want(a *txtar.Archive) *txtar.File {
	i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == "want" })
	if i < 0 {
		i = len(a.Files)
		a.Files = append(a.Files, txtar.File{Name: "want"})
	}
	return &a.Files[i]
}

func (c *Case) readRequest(data []byte) error {
	var r struct {
		User   *string  `json:"user"`
		Groups []string `json:"groups"`
		Time   string   `json:"time"`
	}
	if err := yaml.UnmarshalStrict(data, &r); err != nil {
		return err
	}
	if r.User != nil {
		c.request.User = *r.User
	}
	if r.Time != "" {
		c.request.Time = r.Time
	}
	c.request.Groups = r.Groups
	return nil
}

func (c *Case) readWorld(data []byte) ([]mesh.Object, error) {
	docs, err := Documents(data)
	if err != nil {
		return nil, err
	}
	var world []mesh.Object
	for _, raw := range docs {
		o, err := mesh.Decode(raw)
		if err != nil {
			return nil, err
		}
		world = append(world, o)
		c.stored[o.Metadata().Ref] = raw
	}
	return world, nil
}

// writes are those of one file.
func (c *Case) writes(f txtar.File) ([]review.Write, error) {
	docs, err := Documents(f.Data)
	if err != nil {
		return nil, err
	}
	request := c.request
	if _, user, ok := strings.Cut(strings.TrimSuffix(f.Name, ".yaml"), "@"); ok {
		request.User = user
	}
	made := func(operation string, old, object []byte) review.Write {
		r := request
		r.Operation = operation
		return review.Write{Request: r, OldObject: old, Object: object}
	}
	var writes []review.Write
	switch {
	case strings.Contains(f.Name, "-update"):
		if len(docs)%2 != 0 {
			return nil, fmt.Errorf("%d objects; in a file with -update in its name they are pairs, before and after", len(docs))
		}
		for pair := range slices.Chunk(docs, 2) {
			writes = append(writes, made("UPDATE", pair[0], pair[1]))
		}
	case strings.Contains(f.Name, "-delete"):
		for _, raw := range docs {
			writes = append(writes, made("DELETE", raw, nil))
		}
	default:
		for _, raw := range docs {
			w := made("CREATE", nil, raw)
			if o, err := mesh.Decode(raw); err == nil && c.stored[o.Metadata().Ref] != nil {
				w = made("UPDATE", c.stored[o.Metadata().Ref], raw)
			}
			writes = append(writes, w)
		}
	}
	return writes, nil
}

// Documents splits a stream of YAML, strictly read, and returns each document that is
// not empty as JSON.
func Documents(data []byte) ([][]byte, error) {
	var docs [][]byte
	for doc := range bytes.SplitSeq(append([]byte("\n"), data...), []byte("\n---")) {
		raw, err := yaml.YAMLToJSONStrict(doc)
		if err != nil {
			return nil, err
		}
		if string(raw) != "null" {
			docs = append(docs, raw)
		}
	}
	return docs, nil
}
