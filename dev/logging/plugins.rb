# frozen_string_literal: true

# The plugins of fluentd that charts/logging uses, as far as it uses them.

def bytes(text)
  number, unit = text.match(/\A(\d+)([km]?)\z/)&.captures || raise("#{text} is no number of bytes")
  number.to_i * { "" => 1, "k" => 1024, "m" => 1024**2 }.fetch(unit)
end

# Parses text into fields; nil if it doesn't match, or :lost if fluentd's parser would lose the record.
module Parsers
  def self.make(element)
    parser = { "regexp" => method(:regexp), "json" => method(:json) }.fetch(element.take("@type")).call(element)
    element.done
    parser
  end

  def self.regexp(element)
    expression = element.take("expression")
    pattern = Regexp.new(expression[%r{\A/(.*)/m?\z}m, 1], expression.end_with?("m") ? Regexp::MULTILINE : 0)
    integers = element.take("types", "").scan(/(\w+):integer/).flatten
    lambda do |text|
      fields = pattern.match(text)&.named_captures or return
      integers.each { |name| fields[name] = fields[name].to_i }
      fields.key?("time") ? :lost : fields
    end
  end

  def self.json(element)
    element.expect("json_parser" => "json")
    lambda do |text|
      fields = JSON.parse(text)
      fields.is_a?(Hash) && !fields.key?("time") ? fields : :lost
    rescue JSON::ParserError
      nil
    end
  end
end

# Follows files and stores the position: path, offset and inode, as fluentd writes them.
class Tail
  def initialize(element, engine)
    @engine = engine
    element.expect("@type" => "tail", "@id" => "containers", "read_from_head" => "true", "tag" => "kubernetes.*",
                   "emit_unmatched_lines" => "true", "enable_stat_watcher" => "false", "refresh_interval" => "5", "rotate_wait" => "30")
    @label = element.take("@label")
    @paths = element.take("path").split(",")
    @excluded = JSON.parse(element.take("exclude_path"))
    @longest = bytes(element.take("max_line_size"))
    @positions = element.take("pos_file")
    format = element.child("parse")
    format.expect("@type" => "regexp", "time_format" => "%Y-%m-%dT%H:%M:%S.%N%z")
    @pattern = Regexp.new(format.take("expression")[%r{\A/(.*)/\z}, 1])
    [format, element].each(&:done)
    @read = File.exist?(@positions) ? File.readlines(@positions).to_h { |line| line.split("\t").then { |path, offset| [path, offset.to_i(16)] } } : {}
  end

  def step
    files = (Dir.glob(@paths) - Dir.glob(@excluded)).select { |path| File.size(path) > @read.fetch(path, 0) }
    return if files.empty?

    files.each { |path| read(path) }
    File.write(@positions, @read.map { |path, offset| format("%s\t%016x\t%016x\n", path, offset, File.stat(path).ino) }.join)
  end

  def read(path)
    text = File.binread(path, nil, @read.fetch(path, 0)) # bytes, as fluentd has them
    whole = text[0..(text.rindex("\n") || -1)]
    whole = "" unless text.include?("\n")
    @read[path] = @read.fetch(path, 0) + whole.bytesize
    lines = whole.lines(chomp: true).reject { |line| line.bytesize > @longest }
    tag = "kubernetes.#{path.tr('/', '.').delete_prefix('.')}"
    @engine.emit(@label, tag, lines.map { |line| record(line) })
  end

  def record(line)
    fields = @pattern.match(line)&.named_captures or return [Time.now, { "unmatched_line" => line }]
    [DateTime.strptime(fields.delete("time"), "%Y-%m-%dT%H:%M:%S.%N%z").to_time, fields]
  end
end

# Each receives a record and returns none, one or several, as [time, record].
module Filters
  def self.make(element, engine, label)
    types = { "concat" => Concat, "kubernetes_metadata" => Metadata, "record_transformer" => Transformer, "grep" => Grep, "parser" => Parser,
              "elasticsearch_genid" => Identity }
    filter = types.fetch(element.take("@type")).new(element, engine, label)
    element.done
    filter
  end

  # Joins parts into lines. What exceeds the limit continues as another record.
  class Concat
    def initialize(element, engine, _label)
      element.expect("key" => "log", "separator" => "", "partial_key" => "flag", "partial_value" => "P", "stream_identity_key" => "stream",
                     "use_first_timestamp" => "true", "buffer_overflow_method" => "new")
      @limit = bytes(element.take("buffer_limit_size"))
      @patience = element.take("flush_interval").to_i
      @label = element.take("timeout_label")
      @engine = engine
      @waiting = {}
      @since = {}
    end

    def call(tag, time, record)
      return [[time, record]] unless record.key?("flag")

      key = [tag, record["stream"]]
      parts = @waiting[key] ||= []
      @since[key] = Time.now
      done = parts.sum { |_, part| part["log"].bytesize } + record["log"].bytesize > @limit && parts.any? ? [joined(key)] : []
      (@waiting[key] ||= []) << [time, record]
      record["flag"] == "P" ? done : done + [joined(key)]
    end

    def joined(key)
      parts = @waiting.delete(key)
      [parts[0][0], parts.last[1].merge("log" => parts.map { |_, part| part["log"] }.join).except("flag")]
    end

    def step = @waiting.keys.select { |key| Time.now - @since[key] > @patience }.each { |key| @engine.emit(@label, key[0], [joined(key)]) }
    def finish = @waiting.keys.each { |key| @engine.emit(@label, key[0], [joined(key)]) }
  end

  # Finds a file's pod by its name, and the rest from the API server.
  class Metadata
    NAME = /containers\.(?<pod>[a-z0-9.-]+)_(?<namespace>[^_]+)_(?<container>.+)-(?<id>[a-z0-9]{64})\.log\z/

    def initialize(element, _engine, _label)
      element.expect("skip_namespace_labels" => "true", "skip_master_url" => "true", "stats_interval" => "0", "watch" => "false",
                     "cache_ttl" => "600", "allow_orphans" => "false")
      @account = element.take("secret_dir")
      @known = {}
    end

    def call(tag, time, record)
      name = NAME.match(tag) or return [[time, record]]
      about = { "container_name" => name[:container], "namespace_name" => name[:namespace], "pod_name" => name[:pod] }
      [[time, record.merge("docker" => { "container_id" => name[:id] }, "kubernetes" => about.merge(@known[tag] ||= ask(name)))]]
    end

    def ask(name)
      http = Net::HTTP.new(ENV.fetch("KUBERNETES_SERVICE_HOST"), ENV.fetch("KUBERNETES_SERVICE_PORT"))
      http.use_ssl = true
      http.ca_file = "#{@account}/ca.crt"
      answer = http.get("/api/v1/namespaces/#{name[:namespace]}/pods/#{name[:pod]}", "Authorization" => "Bearer #{File.read("#{@account}/token").strip}")
      return {} if answer.code == "404"

      pod = JSON.parse(answer.tap(&:value).body)
      image = pod["status"]["containerStatuses"].to_a.find { |container| container["name"] == name[:container] }&.fetch("image")
      { "pod_id" => pod["metadata"]["uid"], "pod_ip" => pod["status"]["podIP"], "host" => pod["spec"]["nodeName"],
        "labels" => pod["metadata"]["labels"], "container_image" => image }.compact
    end
  end

  # Adds fields, each the value of a Ruby expression.
  class Transformer
    def initialize(element, _engine, _label)
      element.expect("enable_ruby" => "true", "auto_typecast" => "true")
      @removed = element.take("remove_keys", "").split(",")
      @fields = element.child("record").rest.transform_values { |value| value[/\A\$\{(.*)\}\z/m, 1] || raise("#{value} isn't one expression") }
    end

    def call(_tag, time, record)
      [[time, record.merge(@fields.transform_values { |expression| evaluate(expression, record) }).except(*@removed)]]
    end

    def evaluate(expression, record) = binding.tap { |scope| scope.local_variable_set(:record, record) }.eval(expression)
  end

  # Drops matching records.
  class Grep
    def initialize(element, _engine, _label)
      exclude = element.child("exclude")
      @key = exclude.take("key")
      @pattern = Regexp.new(exclude.take("pattern")[%r{\A/(.*)/\z}, 1])
    end

    def call(_tag, time, record) = @pattern.match?(record[@key].to_s) ? [] : [[time, record]]
  end

  # Parses a text into fields, or keeps it.
  class Parser
    def initialize(element, _engine, _label)
      element.expect("reserve_data" => "true", "emit_invalid_record_to_error" => "false")
      @key = element.take("key_name")
      @parser = Parsers.make(element.child("parse"))
    end

    def call(_tag, time, record)
      fields = record[@key] && @parser.call(record[@key])
      fields == :lost ? [] : [[time, record.merge(fields || {})]]
    end
  end

  # Computes the same id for the same line.
  class Identity
    def initialize(element, _engine, _label)
      %w[use_record_as_seed use_entire_record include_tag_in_seed include_time_in_seed].each { |name| element.expect(name => "true") }
      @key = element.take("hash_id_key")
    end

    def call(tag, time, record)
      [[time, record.merge(@key => Digest::SHA1.base64digest([tag, time.nsec, time.to_i, record.sort].inspect))]]
    end
  end
end

# Outputs, at the end of a label.
module Outputs
  def self.make(element, engine)
    output = { "relabel" => Relabel, "elasticsearch" => Elasticsearch, "stdout" => Stdout }.fetch(element.take("@type")).new(element, engine)
    element.done
    output
  end

  # Sends to another label.
  class Relabel
    def initialize(element, engine)
      @label = element.take("@label")
      @engine = engine
    end

    def call(tag, records) = @engine.emit(@label, tag, records)
  end

  # Records that were refused.
  class Stdout
    def initialize(_element, _engine) = nil
    def call(tag, records) = records.each { |time, record| puts "#{time} #{tag}: #{record.to_json}" }
  end

  # Buffers in files, then sends by the bulk interface; a refused request is retried, with a doubled delay each time.
  class Elasticsearch
    def initialize(element, _engine)
      element.expect("@id" => "elasticsearch", "write_operation" => "create", "include_timestamp" => "true", "suppress_type_name" => "true",
                     "verify_es_version_at_startup" => "false", "default_elasticsearch_version" => "8", "reconnect_on_error" => "true",
                     "reload_on_failure" => "false", "reload_connections" => "false", "request_timeout" => "30s")
      @url = URI("http://#{element.take('host')}:#{element.take('port')}#{element.take('path', '')}/_bulk")
      @index = element.take("index_name")
      @id = element.take("id_key")
      @time = element.take("time_key")
      element.expect("remove_keys" => "#{@id},#{@time}")
      buffer(element.child("buffer"))
      @next = Time.now + @interval
    end

    def buffer(element)
      element.expect("@type" => "file", "flush_mode" => "interval", "overflow_action" => "block", "retry_type" => "exponential_backoff",
                     "retry_wait" => "1s", "retry_forever" => "true", "chunk_limit_size" => "4m")
      @directory = element.take("path")
      @interval = element.take("flush_interval").to_i
      @longest = element.take("retry_max_interval").to_i
      @limit = bytes(element.take("total_limit_size"))
      element.done
      FileUtils.mkdir_p(@directory)
      @pause = 1
    end

    def call(_tag, records)
      raise "the buffer is full" if chunks.sum { |file| File.size(file) } > @limit

      File.write("#{@directory}/#{Process.clock_gettime(Process::CLOCK_REALTIME, :nanosecond)}.chunk", records.map { |time, record| operation(time, record) }.join)
    end

    def operation(time, record)
      document = record.except(@id, @time).merge("@timestamp" => (own_time(record) || time.to_datetime).new_offset.iso8601(9))
      "#{{ create: { _index: @index, _id: record[@id] } }.to_json}\n#{document.to_json}\n"
    end

    def own_time(record)
      record[@time] && DateTime.parse(record[@time].to_s)
    rescue Date::Error
      nil
    end

    def chunks = Dir["#{@directory}/*.chunk"].sort

    def step
      return if Time.now < @next

      chunks.each { |file| send_chunk(file) }
      @pause = 1
      @next = Time.now + @interval
    rescue SystemCallError, Net::HTTPExceptions => error
      puts "Elasticsearch doesn't take a chunk (#{error.message}); tried again in #{@pause} s"
      @next = Time.now + @pause
      @pause = [@pause * 2, @longest].min
    end

    def send_chunk(file)
      answer = Net::HTTP.post(@url, File.read(file), "Content-Type" => "application/x-ndjson")
      answer.value
      refused = JSON.parse(answer.body)["items"].to_a.map { |item| item["create"] }.reject { |item| [200, 201, 409].include?(item["status"]) }
      raise Errno::EAGAIN, refused[0].to_json unless refused.empty?

      File.delete(file)
    end
  end
end
