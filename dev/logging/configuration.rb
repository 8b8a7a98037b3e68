# frozen_string_literal: true

# Parses fluentd's configuration: <elements>, each with settings "name value" and nested elements.
module Configuration
  # One element. Its user takes each setting; a setting that is left over is an error.
  class Element
    attr_reader :name, :argument, :children

    def initialize(name, argument)
      @name = name
      @argument = argument
      @settings = {}
      @children = []
    end

    def set(name, value)
      raise "#{self} sets #{name} twice" if @settings.key?(name)

      @settings[name] = value
    end

    def take(name, default = nil) = @settings.delete(name) || default

    # Settings that the stand-in implements in any case.
    def expect(wanted)
      wanted.each { |name, value| (found = take(name)) == value or raise "#{self}: #{name} is #{found.inspect}, only #{value.inspect} is known" }
    end

    def child(name) = @children.find { |child| child.name == name } || raise("#{self} has no <#{name}>")

    def rest = @settings.tap { @settings = {} }

    def done
      raise "#{self} has settings that the stand-in doesn't know: #{@settings.keys.join(', ')}" unless @settings.empty?
    end

    def to_s = "<#{[@name, @argument].compact.join(' ')}>"
  end

  def self.read(file)
    root = Element.new("root", nil)
    File.read(file).lines.map(&:strip).reject { |line| line.empty? || line.start_with?("#") }.reduce([root]) { |open, line| take(open, line) }
    root.children
  end

  def self.take(open, line)
    case line
    when %r{\A</(\w+)>\z} then open.last.name == $1 ? open[0..-2] : raise("</#{$1}> closes #{open.last}")
    when /\A<(\w+)(?: ([^>]+))?>\z/ then open + [Element.new($1, $2).tap { |element| open.last.children << element }]
    when /\A(\S+)\s+(.+)\z/ then open.tap { open.last.set($1, unquoted($2)) }
    else raise "what is #{line}?"
    end
  end

  # A quoted text may be empty; outside quotes " #" would begin a comment.
  def self.unquoted(value)
    return value[1..-2] if value.match?(/\A".*"\z/)
    raise "a comment begins in: #{value}" if value.include?(" #")

    value
  end
end
