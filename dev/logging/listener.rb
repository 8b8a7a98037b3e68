#!/usr/bin/env ruby
# frozen_string_literal: true

# Stands in for Elasticsearch and Kibana in the chart's setup. It refuses the first requests, as the real ones do while they
# start, then accepts all. Each request is printed as one JSON line.
# Usage: dev/logging/listener.rb PORT NUMBER-OF-REFUSALS
require "json"
require "socket"

refusals = ARGV[1].to_i
server = TCPServer.new("127.0.0.1", ARGV[0].to_i)
$stdout.sync = true
loop do
  client = server.accept
  first = client.gets or next # only checked for a listener
  method, path = first.split
  headers = {}
  while (line = client.gets.chomp) != ""
    name, value = line.split(": ", 2)
    headers[name.downcase] = value
  end
  client.write("HTTP/1.1 100 Continue\r\n\r\n") if headers["expect"]
  body = client.read(headers["content-length"].to_i)
  status = (refusals -= 1) >= 0 ? "503 Service Unavailable" : "200 OK"
  puts({ method: method, path: path, headers: headers, body: body, status: status.to_i }.to_json)
  client.write("HTTP/1.1 #{status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
  client.close
end
