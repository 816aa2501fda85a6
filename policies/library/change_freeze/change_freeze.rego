# METADATA
# title: change freeze
# description: |
#   Between the start and the end of a window nobody opens a new external host, except the groups that the
#   window names. Edits that open nothing, and deletions, stay possible.
# custom:
#   severity: deny
#   parameters:
#     windows:
#       type: array
#       description: "the windows: instants in RFC 3339 and a reason that the message gives"
#       items:
#         type: object
#         additionalProperties: false
#         required: [start, end, reason]
#         properties:
#           start: {type: string, pattern: '^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(Z|[+-]\d{2}:\d{2})$'}
#           end: {type: string, pattern: '^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(Z|[+-]\d{2}:\d{2})$'}
#           reason: {type: string}
#           exceptGroups: {type: array, items: {type: string}}
package sallyport.policies.change_freeze

deny contains {"msg": msg, "path": point.path, "fix": fix} if {
	some point in input.egress
	point.new
	some window in data.sallyport.change_freeze.windows
	now >= time.parse_rfc3339_ns(window.start)
	now < time.parse_rfc3339_ns(window.end)
	not excepted(window)
	msg := sprintf("host %q cannot be opened before %s: %s", [point.host, window.end, window.reason])
	fix := sprintf("apply again after %s", [window.end])
}

now := time.parse_rfc3339_ns(input.time)

excepted(window) if {
	some group in object.get(window, "exceptGroups", [])
	group in input.request.groups
}
